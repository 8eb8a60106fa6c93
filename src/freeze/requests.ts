import type { Receipt } from '../receipt/receipt.ts';
import type { CallId } from './idempotency.ts';

/** Who asked, for the log and for "whose freeze is it"; never trusted. */
export interface Caller {
  /** e.g. `socket (quiesce-cli/0.1.0)` or `127.0.0.1 (curl/8.5)`. */
  readonly by: string;
  /** Where the call carried an idempotency key: a retry of it is answered alike. */
  readonly call?: CallId;
}

export interface FreezeRequest extends Caller {
  readonly id?: string;
  readonly ttlMs?: number;
  readonly timeoutMs?: number;
  /** Renew the lease of the freeze with this id, and freeze nothing. */
  readonly renew?: boolean;
  /** Wait for the end of another freeze, until the timeout, instead of being refused at once. */
  readonly wait?: boolean;
  /** Aborts when the caller has gone away before it was answered: the freeze is then rolled back. */
  readonly gone?: AbortSignal;
}

export interface ThawRequest extends Caller {
  readonly id?: string;
}

/** What came of a release that takes no success. */
export interface Abandoned {
  /** `false`: nothing was held, or another freeze than the one named. */
  readonly released: boolean;
  readonly receipt: Receipt | null;
}

export type LeasePhase = 'thawed' | 'freezing' | 'frozen' | 'thawing';

export interface LeaseView {
  readonly id: string;
  readonly by: string;
  readonly requestedAt: string;
  /** `null` until the hold is in place. */
  readonly frozenAt: string | null;
  readonly expiresAt: string | null;
  /** Where a long step is, in the engine's own words. */
  readonly progress: string | null;
  /** Whole milliseconds left on the monotonic clock; `null` until the hold is in place. */
  readonly remainingMs: number | null;
}
