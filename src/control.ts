import type { JsonObject, VerifyOptions, VerifyResult } from './engines/engine.ts';
import type { CallId } from './freeze/idempotency.ts';
import type { Receipt } from './receipt/receipt.ts';

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

export interface RestoreView {
  readonly id: string;
  readonly verified: boolean | null;
  readonly checkedAt: string | null;
  readonly message: string;
}

export interface Status {
  readonly state: LeasePhase;
  readonly lease: LeaseView | null;
  readonly engine: {
    readonly name: string;
    readonly reachable: boolean;
    readonly version: string | null;
    readonly role: string | null;
    readonly identity: Readonly<Record<string, string>>;
    /** Why it is not reachable. */
    readonly message: string | null;
  };
  readonly copy: string;
  /** Verification of a restored copy found at start; `null` where there was none. */
  readonly restore: RestoreView | null;
  readonly lastReceipt: Receipt | null;
  /** The version of quiesce. */
  readonly version: string;
}

/**
 * What the HTTP API serves. Every failure is a `QuiesceError`; a thaw that is not consistent rejects
 * with `NOT_CONSISTENT` and `details.receipt`, a failed verification with `NOT_VERIFIED` and
 * `details.checks`.
 */
export interface Control {
  /** Resolves with the receipt (verdict `held`) once the hold is in place, or its lease is renewed. */
  freeze(request: FreezeRequest): Promise<Receipt>;
  /**
   * Resolves with the receipt, verdict `consistent`, for the first request that ends a freeze, and for a
   * retry of that very call; `ALREADY_THAWED` for every other. The database is released whatever the
   * answer.
   */
  thaw(request: ThawRequest): Promise<Receipt>;
  /** Releases what is held, or only the freeze with this id; its verdict is `inconsistent`. */
  abandon(request: ThawRequest): Promise<Abandoned>;
  status(): Status;
  metadata(signal: AbortSignal): Promise<JsonObject>;
  /** Newest first, at most ten. */
  receipts(): readonly Receipt[];
  /** Of the copy that the volume was restored from last; `null`: none is known, or the volume hangs. */
  restored(): Promise<Receipt | null>;
  verify(receipt: Receipt, options: VerifyOptions, signal: AbortSignal): Promise<VerifyResult>;
}
