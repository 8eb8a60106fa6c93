import type { Logger } from '../../logger.ts';
import type { Pair } from './authority.ts';
import { expiryOf } from './rotation.ts';
import type { CertificateSource } from './source.ts';

export interface KeeperOptions {
  readonly source: CertificateSource;
  readonly logger: Logger;
  /** Called with each new pair, the first included. `expiresAt` is in milliseconds of the epoch. */
  readonly onChange: (pair: Pair, expiresAt: number) => void;
  readonly onFailure: () => void;
}

const RETRY_MS = 2_000;

/** Keeps a valid certificate until `stop`. After a failed refresh it keeps the previous one and tries again. */
export class CertificateKeeper {
  readonly #options: KeeperOptions;
  #timer: NodeJS.Timeout | undefined;
  #stopped = false;
  #current: { readonly pair: Pair; readonly expiresAt: number } | undefined;
  #lastFailure: string | undefined;

  constructor(options: KeeperOptions) {
    this.#options = options;
  }

  /** Refreshes until `stop`. Resolves after the first attempt, successful or not. */
  async start(): Promise<void> {
    await this.#refresh();
  }

  stop(): void {
    this.#stopped = true;
    clearTimeout(this.#timer);
  }

  /** Why there is no valid certificate now; `undefined`: there is one. */
  get problem(): string | undefined {
    if (this.#current === undefined) return this.#lastFailure ?? 'there is no certificate yet';
    if (this.#current.expiresAt <= Date.now()) return 'the certificate has expired';
    return undefined;
  }

  async #refresh(): Promise<void> {
    const { source, logger, onFailure } = this.#options;
    let wait = source.refreshMs;
    try {
      this.#adopt(await source.refresh());
      if (this.#lastFailure !== undefined) logger.info('the certificate can be refreshed again');
      this.#lastFailure = undefined;
    } catch (error) {
      const reason = error instanceof Error ? error.message : String(error);
      if (reason !== this.#lastFailure)
        logger.warn({ reason }, 'the certificate cannot be refreshed');
      this.#lastFailure = reason;
      wait = Math.min(RETRY_MS, wait);
      onFailure();
    }
    if (!this.#stopped) this.#timer = setTimeout(() => void this.#refresh(), wait);
  }

  #adopt(pair: Pair): void {
    const before = this.#current?.pair;
    if (before?.certificate === pair.certificate && before.key === pair.key) return;
    const expiresAt = expiryOf(pair);
    if (expiresAt === undefined) throw new Error('the certificate does not belong to its key');
    this.#current = { pair, expiresAt };
    this.#options.logger.info({ expiresAt: new Date(expiresAt) }, 'serving a new certificate');
    this.#options.onChange(pair, expiresAt);
  }
}
