import type { JsonObject, VerifyOptions, VerifyResult } from '../engines/engine.ts';
import type {
  Abandoned,
  FreezeRequest,
  LeasePhase,
  LeaseView,
  ThawRequest,
} from '../freeze/requests.ts';
import type { Receipt } from '../receipt/receipt.ts';
import type { RestoreView } from '../restore/verify-at-start.ts';

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
