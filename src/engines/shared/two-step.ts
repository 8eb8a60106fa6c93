import { QuiesceError } from '../../errors.ts';
import type {
  Engine,
  EngineModule,
  EngineOptions,
  Hold,
  SettingIssue,
  Settings,
} from '../engine.ts';

/** An engine's module, by how it reads its settings and what it makes of them. */
export function engineModule<S>(
  parse: (env: Settings) => { readonly settings: S; readonly issues: readonly SettingIssue[] },
  create: (settings: S, options: EngineOptions) => Engine,
): EngineModule {
  return {
    checkSettings: (env) => parse(env).issues,
    createEngine: (options) => create(parse(options.settings).settings, options),
  };
}

/**
 * What `prepare` leaves for `hold`, one thing at a time. Until `hold` takes it over it ends with the
 * signal of its freeze, with the next freeze, or by `forget`: nobody else would close its connection.
 */
export class TwoStep<P> {
  readonly #close: (prepared: P) => unknown;
  #prepared: P | undefined;
  #signal: AbortSignal | undefined;
  readonly #onAbort = (): void => void this.forget();

  /** @param close gives up what was prepared; never throws. */
  constructor(close: (prepared: P) => unknown) {
    this.#close = close;
  }

  /** Where `work` fails, the session is closed here. */
  async prepare<S extends { close(): unknown }>(
    open: () => Promise<S>,
    work: (session: S) => Promise<P>,
    signal: AbortSignal,
  ): Promise<void> {
    await this.forget();
    const session = await open();
    let prepared: P;
    try {
      prepared = await work(session);
    } catch (error) {
      await session.close();
      throw error;
    }
    if (signal.aborted) {
      await this.#close(prepared);
      throw signal.reason;
    }
    this.#prepared = prepared;
    this.#signal = signal;
    signal.addEventListener('abort', this.#onAbort, { once: true });
  }

  /** From here on it is the hold's; where `work` fails, it is closed here. */
  async hold(work: (prepared: P) => Promise<Hold>): Promise<Hold> {
    const prepared = this.#take();
    if (prepared === undefined) {
      throw new QuiesceError('INTERNAL', 'hold was called without prepare');
    }
    try {
      return await work(prepared);
    } catch (error) {
      await this.#close(prepared);
      throw error;
    }
  }

  async forget(): Promise<void> {
    const prepared = this.#take();
    if (prepared !== undefined) await this.#close(prepared);
  }

  #take(): P | undefined {
    const prepared = this.#prepared;
    this.#prepared = undefined;
    this.#signal?.removeEventListener('abort', this.#onAbort);
    this.#signal = undefined;
    return prepared;
  }
}
