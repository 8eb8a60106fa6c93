import type { Pair } from './authority.ts';

/** Where the certificate comes from that the webhook serves. */
export interface CertificateSource {
  /**
   * Brings everything up to date once: what is to be served may be served when this resolves.
   * Rejects where it could not; what was served before goes on then.
   */
  refresh(): Promise<Pair>;
  /** How long to wait before the next `refresh`. */
  readonly everyMs: number;
}
