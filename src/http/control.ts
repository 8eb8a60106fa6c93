import type { JsonObject, VerifyOptions, VerifyResult } from '../engines/engine.ts';
import type {
  Abandoned,
  FreezeRequest,
  LeasePhase,
  LeaseView,
  ThawRequest,
} from '../freeze/requests.ts';
import type { Receipt } from '../receipt/receipt.ts';
import type { Acknowledged, RestoreView } from '../restore/verify-at-start.ts';

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
  /** The longest lease that a freeze may ask for. */
  readonly ttlMaxMs: number;
  /** What the restored data of this pod may be called; `null`: no restore is known, or its report was ended. */
  readonly restore: RestoreView | null;
  /** The restore that a person has accepted as it is; `null`: none. */
  readonly acknowledgedRestore: Acknowledged | null;
  readonly lastReceipt: Receipt | null;
  /** The version of quiesce. */
  readonly version: string;
}

/**
 * The operations that the HTTP API serves. Every failure is a `QuiesceError`. A thaw that is not
 * consistent rejects with `NOT_CONSISTENT` and `details.receipt`, a failed verification with
 * `NOT_VERIFIED` and `details.checks`.
 */
export interface Control {
  /** Resolves with the receipt (verdict `held`) once the hold is in place, or its lease is renewed. */
  freeze(request: FreezeRequest): Promise<Receipt>;
  /**
   * Resolves with the receipt, verdict `consistent`, for the first request that ends a freeze and for
   * retries of the same call. Every other thaw of it rejects with `ALREADY_THAWED`.
   */
  thaw(request: ThawRequest): Promise<Receipt>;
  /** Releases the open freeze; with an id, only that freeze. The verdict is `inconsistent`. */
  abandon(request: ThawRequest): Promise<Abandoned>;
  status(): Status;
  metadata(signal: AbortSignal): Promise<JsonObject>;
  /** The last receipts, newest first, at most ten. */
  receipts(): readonly Receipt[];
  /** The receipt of the copy that the volume was last restored from; `null`: none is known, or the volume hangs. */
  restored(): Promise<Receipt | null>;
  verify(receipt: Receipt, options: VerifyOptions, signal: AbortSignal): Promise<VerifyResult>;
  /** Ends the report of an unproven or refused restore; rejects with `NOTHING_TO_ACKNOWLEDGE`. */
  acknowledgeRestore(by: string): Promise<Acknowledged>;
}
