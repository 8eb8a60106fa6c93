import type { Pair } from './authority.ts';

/** The source of the certificate that the webhook serves. */
export interface CertificateSource {
  /**
   * Renews what is due, once. The caller may serve the pair that it resolves to from then on.
   * If it rejects, the caller keeps serving the previous pair.
   */
  refresh(): Promise<Pair>;
  /** Time to wait before the next `refresh`, in milliseconds. */
  readonly refreshMs: number;
}
