import type { Receipt } from '../receipt/receipt.ts';
import type { CallId } from './idempotency.ts';

/** Who sent a request, for the log and for messages about the open freeze. Never trusted. */
export interface Caller {
  /** Such as `socket (quiesce-cli/0.1.0)` or `127.0.0.1:51234 (curl/8.5)`. */
  readonly by: string;
  /** Set where the call carried an idempotency key. */
  readonly call?: CallId;
}

export interface FreezeRequest extends Caller {
  readonly id?: string;
  readonly ttlMs?: number;
  readonly timeoutMs?: number;
  /** Only renew the lease of the freeze with this id. */
  readonly renew?: boolean;
  /** Wait until the timeout for another freeze to end, instead of failing immediately. */
  readonly wait?: boolean;
  /** The caller copies every volume before its thaw, as Velero does. */
  readonly thawLast?: boolean;
  /** Aborts when the caller disconnects before the answer: the freeze is then rolled back. */
  readonly gone?: AbortSignal;
}

export interface ThawRequest extends Caller {
  readonly id?: string;
}

/** The result of a release that claims no success. */
export interface Abandoned {
  /** `false`: nothing was held, or only a freeze with another id. */
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
  /** The progress of a long step, in the engine's words. */
  readonly progress: string | null;
  /** Whole milliseconds left on the monotonic clock; `null` until the hold is in place. */
  readonly remainingMs: number | null;
}
