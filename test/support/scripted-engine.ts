import type {
  Breach,
  CopyMetadata,
  Difference,
  Engine,
  FreezeContext,
  Hold,
  JsonObject,
  Probe,
  VerifyResult,
} from '../../src/engines/engine.ts';

const server: Probe = { version: '1.0', role: 'primary', identity: { systemIdentifier: '42' } };

/**
 * A fake engine without a database. Its steps wait, fail and break on command, to bring the coordinator
 * into states that a real server reaches too rarely. The conformance and integration tests cover the real
 * engines.
 */
export class ScriptedEngine implements Engine {
  name = 'scripted';
  readonly capabilities = { blocksWrites: false, copies: ['snapshot'] } as const;
  readonly ownFiles = async (): Promise<boolean> => false;
  /** The calls in order: `prepare`, `hold`, `check`, `release`, `recover`. */
  readonly calls: string[] = [];
  /** Called at each step; may wait or throw. One that ignores the signal is a server that cannot be interrupted. */
  onPrepare: (signal: AbortSignal) => Promise<void> = async () => undefined;
  onMetadata: (signal: AbortSignal) => Promise<CopyMetadata> = async () => ({
    metadata: { version: '1.0' },
    absent: [],
    truncated: [],
  });
  onHold: (signal: AbortSignal, context: FreezeContext) => Promise<void> = async () => undefined;
  onCheck: () => Promise<readonly Breach[]> = async () => [];
  onRelease: () => Promise<void> = async () => undefined;
  onRecover: (journal: JsonObject | null) => Promise<void> = async () => undefined;
  /** The number of holds in place. */
  held = 0;
  #lost = new AbortController();

  async probe(): Promise<Probe> {
    return server;
  }

  async prepare(_context: FreezeContext, signal: AbortSignal): Promise<void> {
    this.calls.push('prepare');
    await this.onPrepare(signal);
  }

  async hold(context: FreezeContext, signal: AbortSignal): Promise<Hold> {
    this.calls.push('hold');
    await context.keep({ 'scripted.label': 'label\n' });
    await this.onHold(signal, context);
    this.held += 1;
    this.#lost = new AbortController();
    return {
      mode: 'sealed',
      server,
      writesBlocked: false,
      position: { lsn: '0/1' },
      restore: {},
      reasons: [],
      notes: [],
      journal: { token: 'x' },
      lost: this.#lost.signal,
      check: async () => {
        this.calls.push('check');
        return await this.onCheck();
      },
      release: async () => {
        this.calls.push('release');
        await this.onRelease();
        this.held -= 1;
      },
    };
  }

  /** The server dies under the hold. */
  lose(): void {
    this.#lost.abort([{ code: 'server-lost', note: 'The server is gone.' }]);
  }

  async metadata(): Promise<JsonObject> {
    return {};
  }

  async copyMetadata(_withinMs: number, signal: AbortSignal): Promise<CopyMetadata> {
    return await this.onMetadata(signal);
  }

  differences(): readonly Difference[] {
    return [];
  }

  async recover(journal: JsonObject | null): Promise<void> {
    this.calls.push('recover');
    await this.onRecover(journal);
  }

  async verify(): Promise<VerifyResult> {
    return { verified: true, checks: [] };
  }

  async isEmpty(): Promise<boolean> {
    return false;
  }

  async close(): Promise<void> {
    return undefined;
  }
}

/** Waits `ms`, but rejects when the signal aborts. */
export function abortable(ms: number, signal: AbortSignal): Promise<void> {
  return new Promise((resolve, reject) => {
    signal.throwIfAborted();
    const timer = setTimeout(resolve, ms);
    signal.addEventListener('abort', () => {
      clearTimeout(timer);
      reject(signal.reason as Error);
    });
  });
}
