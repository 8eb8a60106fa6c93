import type { Acked } from '../../src/demo/load.ts';
import type { Receipt } from '../../src/freeze/receipt.ts';
import type { Injected } from './inject.ts';
import type { CallKind } from './plan.ts';

/** One call of the sidecar, by the shim or over the socket; times on the story's clock. */
export interface Called {
  readonly verb: 'freeze' | 'thaw';
  /** `main` is the hook whose freeze this run is about. */
  readonly by: 'main' | CallKind | 'end';
  /** The id it named. */
  readonly id: string | undefined;
  readonly calledAt: number;
  readonly returnedAt: number;
  /** The call claimed success. */
  readonly ok: boolean;
  /** Exit code or HTTP status, and the error's code where there is one. */
  readonly outcome: string;
  readonly receipt: Receipt | undefined;
}

export interface Copy {
  readonly path: string;
  readonly begunAt: number;
  readonly endedAt: number;
  /** The id in the receipt that it carries; `null` where it carries none. */
  readonly carries: string | null;
}

/** What is known of one run from outside. */
export interface RunRecord {
  readonly calls: readonly Called[];
  readonly copies: readonly Copy[];
  readonly injected: readonly Injected[];
  /** By id: what had been acknowledged before its freeze was called first. */
  readonly ackedBefore: ReadonlyMap<string, Acked>;
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
