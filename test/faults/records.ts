import type { Receipt } from '../../src/receipt/receipt.ts';
import type { Acknowledged, Copy } from './engine.ts';
import type { Injected } from './inject.ts';
import type { CallKind } from './callers.ts';

/**
 * Who called. `main` is the backup that this run is about, `other-N` a further one. `end`: the harness
 * itself, which abandons what is still held. `record`: a thaw whose caller heard nothing, and of which
 * the sidecar's own record says that it succeeded.
 */
export type By = 'main' | `other-${number}` | CallKind | 'end' | 'record';

/** One call of the sidecar, by the shim or over the socket; times on the story's clock. */
export interface Called {
  readonly verb: 'freeze' | 'thaw' | 'abandon';
  readonly by: By;
  /** The id it named. */
  readonly id: string | undefined;
  /** The idempotency key it bore: calls with the same one are one call that was sent again. */
  readonly key: string | undefined;
  /** The lease it asked for. */
  readonly ttlMs: number | undefined;
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

/** Which hold a receipt is of: an id may be used again once its freeze has ended. */
export interface HoldName {
  readonly id: string;
  readonly frozenAt: string | null;
}

export interface CutCopy {
  readonly copy: Copy;
  /** The backup that made it, between its freeze and its thaw; `undefined`: nobody's, made to be judged. */
  readonly by: By | undefined;
  readonly begunAt: number;
  readonly endedAt: number;
  /** Whose receipt it carries; `null` where it carries none. */
  readonly carries: HoldName | null;
  /** When what a backup copies after the thaw was there; `undefined`: there is none, or not yet. */
  completedAt?: number;
}

/** What is known of one run from outside. */
export interface RunRecord {
  readonly calls: readonly Called[];
  readonly copies: readonly CutCopy[];
  readonly injected: readonly Injected[];
  /** When the log of the sidecar said that a freeze has ended. */
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

/** Are these of one hold? */
export function isSameHold(one: HoldName | null | undefined, other: HoldName | undefined): boolean {
  if (one === null || one === undefined || other === undefined) return false;
  return one.id === other.id && one.frozenAt === other.frozenAt;
}

/** Is this a call that may have ended the freeze of that id? */
export function mayEnd(call: Called, id: string | undefined): boolean {
  return call.verb !== 'freeze' && (call.id === undefined || call.id === id);
}

/** Thaws that were told a success. */
export function successfulThaws({ calls }: Pick<RunRecord, 'calls'>): readonly Called[] {
  return calls.filter(({ verb, ok }) => verb === 'thaw' && ok);
}
