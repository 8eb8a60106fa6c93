import type { Receipt } from '../../src/receipt/receipt.ts';
import type { Acknowledged, Copy } from './engine.ts';
import type { Injected } from './inject.ts';
import type { CallKind } from './callers.ts';

/**
 * Who called. `main` is the main backup of the run, `other-N` another one. `end`: the harness itself,
 * which abandons what is still held. `record`: a thaw that succeeded by the sidecar's record, although no
 * caller got that answer.
 */
export type By = 'main' | `other-${number}` | CallKind | 'end' | 'record';

/** One call of the sidecar, through the shim or over the socket. Times are those of the run log. */
export interface Called {
  readonly verb: 'freeze' | 'thaw' | 'abandon';
  readonly by: By;
  /** The id that it gave. */
  readonly id: string | undefined;
  /** Its idempotency key: calls with the same key are retries of one call. */
  readonly key: string | undefined;
  /** The requested lease. */
  readonly ttlMs: number | undefined;
  readonly calledAt: number;
  readonly returnedAt: number;
  /** The call reported a success. */
  readonly ok: boolean;
  /** Exit code or HTTP status, and the error's code if there is one. */
  readonly outcome: string;
  readonly receipt: Receipt | undefined;
  /** The writes acknowledged just before the call. */
  readonly acknowledged: Acknowledged | undefined;
}

/** Identifies the hold of a receipt: an id may be used again once its freeze has ended. */
export interface HoldName {
  readonly id: string;
  readonly frozenAt: string | null;
}

export interface CutCopy {
  readonly copy: Copy;
  /** The backup that made it between its freeze and its thaw; `undefined`: of no backup, made for the judges only. */
  readonly by: By | undefined;
  readonly begunAt: number;
  readonly endedAt: number;
  /** The hold whose receipt it carries; `null`: it carries none. */
  readonly carries: HoldName | null;
  /** When the part that a backup copies after the thaw was complete; `undefined`: never, or there is no such part. */
  completedAt?: number;
}

/** What was observed of one run from outside. */
export interface RunRecord {
  readonly calls: readonly Called[];
  readonly copies: readonly CutCopy[];
  readonly injected: readonly Injected[];
  /** When the sidecar logged the end of a freeze. */
  readonly ends: readonly number[];
  /** The longest time in which no write was acknowledged, in milliseconds. */
  readonly stillMs: number;
}

export interface Finding {
  readonly kind:
    | 'false-success'
    | 'told-twice'
    | 'two-sidecars'
    | 'stuck-freeze'
    | 'left-behind'
    | 'not-writable'
    | 'evidence'
    | 'acknowledged-lost'
    | 'calm-failure'
    | 'harness';
  readonly what: string;
}

/** Whether both are of the same hold. */
export function isSameHold(one: HoldName | null | undefined, other: HoldName | undefined): boolean {
  if (one === null || one === undefined || other === undefined) return false;
  return one.id === other.id && one.frozenAt === other.frozenAt;
}

/** Whether this call may have ended the freeze with that id. */
export function mayEnd(call: Called, id: string | undefined): boolean {
  return call.verb !== 'freeze' && (call.id === undefined || call.id === id);
}

/** The thaws that reported a success. */
export function successfulThaws({ calls }: Pick<RunRecord, 'calls'>): readonly Called[] {
  return calls.filter(({ verb, ok }) => verb === 'thaw' && ok);
}
