import type { Receipt } from '../../src/freeze/receipt.ts';
import type { Acknowledged, Copy } from './engine.ts';
import type { Injected } from './inject.ts';
import type { CallKind } from './plan.ts';

/**
 * One call of the sidecar, by the shim or over the socket; times on the story's clock. `record`: a
 * thaw whose caller heard nothing, and of which the sidecar's own record says that it succeeded.
 */
export interface Called {
  readonly verb: 'freeze' | 'thaw';
  /** `main` is the hook whose freeze this run is about. */
  readonly by: 'main' | CallKind | 'end' | 'record';
  /** The id it named. */
  readonly id: string | undefined;
  readonly calledAt: number;
  readonly returnedAt: number;
  /** The call claimed success. */
  readonly ok: boolean;
  /** Exit code or HTTP status, and the error's code where there is one. */
  readonly outcome: string;
  readonly receipt: Receipt | undefined;
  /** Just before the call. */
  readonly acknowledged: Acknowledged | undefined;
}

export interface CutCopy {
  readonly copy: Copy;
  readonly begunAt: number;
  readonly endedAt: number;
  /** The id in the receipt that it carries; `null` where it carries none. */
  readonly carries: string | null;
  /** When what a backup copies after the thaw was there; `undefined`: there is none, or not yet. */
  completedAt?: number;
}

/** What is known of one run from outside. */
export interface RunRecord {
  readonly calls: readonly Called[];
  readonly copies: readonly CutCopy[];
  readonly injected: readonly Injected[];
  /** The longest time in which no write was acknowledged, in milliseconds. */
  readonly stillMs: number;
}

export interface Finding {
  readonly kind:
    | 'false-success'
    | 'stuck-freeze'
    | 'left-behind'
    | 'not-writable'
    | 'evidence'
    | 'acknowledged-lost'
    | 'calm-failure'
    | 'harness';
  readonly what: string;
}
