import type { Logger } from '../../logger.ts';
import type { Pair } from './authority.ts';
import { expiryOf } from './rotation.ts';
import type { CertificateSource } from './source.ts';

export interface KeeperOptions {
  readonly source: CertificateSource;
  readonly logger: Logger;
  /** Called with each new pair, also with the first. */
  readonly onChange: (pair: Pair, expiresAt: number) => void;
  readonly onFailure: () => void;
}

const RETRY_MS = 2_000;

/** Keeps one certificate right for as long as the process lives; a failure never takes the old one. */
export class CertificateKeeper {
  readonly #options: KeeperOptions;
  #timer: NodeJS.Timeout | undefined;
  #stopped = false;
  #current: { readonly pair: Pair; readonly expiresAt: number } | undefined;
  #lastFailure: string | undefined;

  constructor(options: KeeperOptions) {
    this.#options = options;
  }

  /** Begins, and goes on by itself until `stop`. Resolves after the first attempt. */
  async start(): Promise<void> {
    await this.#turn();
  }

  stop(): void {
    this.#stopped = true;
    clearTimeout(this.#timer);
  }

  /** Why nothing can be served now; `undefined`: it can. */
  get problem(): string | undefined {
    if (this.#current === undefined) return this.#lastFailure ?? 'there is no certificate yet';
    if (this.#current.expiresAt <= Date.now()) return 'the certificate has expired';
    return undefined;
  }

  async #turn(): Promise<void> {
    const { source, logger, onFailure } = this.#options;
    let wait = source.everyMs;
    try {
      this.#take(await source.refresh());
      if (this.#lastFailure !== undefined) logger.info('the certificate is kept again');
      this.#lastFailure = undefined;
    } catch (error) {
      const reason = error instanceof Error ? error.message : String(error);
      if (reason !== this.#lastFailure) logger.warn({ reason }, 'the certificate cannot be kept');
      this.#lastFailure = reason;
      wait = Math.min(RETRY_MS, wait);
      onFailure();
    }
    if (!this.#stopped) this.#timer = setTimeout(() => void this.#turn(), wait);
  }

  #take(pair: Pair): void {
    const before = this.#current?.pair;
    if (before?.certificate === pair.certificate && before.key === pair.key) return;
    const expiresAt = expiryOf(pair);
    if (expiresAt === undefined) throw new Error('the certificate does not belong to its key');
    this.#current = { pair, expiresAt };
    this.#options.logger.info({ expiresAt: new Date(expiresAt) }, 'a certificate is in service');
    this.#options.onChange(pair, expiresAt);
  }
}
