import { QuiesceError } from '../../errors.ts';
import type {
  Engine,
  EngineModule,
  EngineOptions,
  Hold,
  SettingIssue,
  Settings,
} from '../engine.ts';

/** Makes an engine's module from its parser of settings and its constructor. */
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
 * Keeps what `prepare` leaves for `hold`, for one freeze at a time. Until `hold` takes it over, it is closed
 * when the signal of its freeze aborts, at the next freeze, or by `forget`. Nothing else would close its
 * connection.
 */
export class TwoStep<P> {
  readonly #close: (prepared: P) => unknown;
  #prepared: P | undefined;
  #signal: AbortSignal | undefined;
  readonly #onAbort = (): void => void this.forget();

  /** @param close releases what was prepared; never throws. */
  constructor(close: (prepared: P) => unknown) {
    this.#close = close;
  }

  /** Closes the session if `work` fails. */
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

  /** Hands over to the hold what was prepared, and closes it if `work` fails. */
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
