import type { Pair } from './authority.ts';

/** The source of the certificate that the webhook serves. */
export interface CertificateSource {
  /**
   * Renews what is due, once. The pair it resolves to may be served at once: the API server trusts it.
   * If it rejects, the caller keeps serving the previous pair.
   */
  refresh(): Promise<Pair>;
  /** Time to wait before the next `refresh`, in milliseconds. */
  readonly refreshMs: number;
}
