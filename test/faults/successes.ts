import type { FaultMode } from './engine.ts';
import { excuseFor } from './excuses.ts';
import {
  type Called,
  type CutCopy,
  type Finding,
  isSameHold,
  mayEnd,
  type RunRecord,
  successfulThaws,
} from './records.ts';

const ROLLED_BACK = ['freeze-timeout', 'freeze-failed', 'freeze-aborted', 'caller-gone'];

/** What was observed of a run in addition to its calls. */
export interface Observed {
  /** When the hold was in the journal, a little after it was in place. Only for a run with one freeze. */
  readonly heldAt: number | undefined;
  readonly excuse: (text: string) => void;
}

/** Compares the successes that the calls reported with what was observed from outside. */
export function judgeSuccesses(record: RunRecord, mode: FaultMode, observed: Observed): Finding[] {
  const found: Finding[] = [];
  const lie = (what: string): void => void found.push({ kind: 'false-success', what });
  for (const thaw of successfulThaws(record)) {
    for (const what of wrongWith(thaw, record)) lie(what);
    for (const what of brokenWithin(thaw, record, mode, observed)) lie(what);
    for (const what of notItsOwn(thaw, record, observed)) lie(what);
  }
  for (const what of wrongFreezes(record)) lie(what);
  return [...found, ...twoAtOnce(record), ...reportedTwice(record)];
}

function wrongWith(thaw: Called, { calls }: RunRecord): string[] {
  const { id, verdict } = thaw.receipt ?? {};
  const asked = calls.some((c) => c !== thaw && c.verb === 'thaw' && mayEnd(c, id));
  return [
    ...(verdict === 'consistent' ? [] : [`thaw ok, verdict ${verdict}`]),
    ...(thaw.by === 'foreign-thaw' ? ['a thaw with an id that was never frozen succeeded'] : []),
    ...(thaw.by === 'record' && !asked
      ? [`${id} is consistent on record, and no call thawed it`]
      : []),
    ...(thaw.id !== undefined && thaw.id !== id ? [`thaw of ${thaw.id} answered with ${id}`] : []),
  ];
}

/** What is known to have ended the hold before the thaw that reported its success. */
function brokenWithin(
  thaw: Called,
  { calls, injected }: RunRecord,
  { endsHold, faults }: FaultMode,
  { heldAt }: Observed,
): string[] {
  const own = freezesOf(thaw, calls);
  // The caller was killed before it got the answer of its freeze.
  if (own.length === 0) return [];
  const called = calledAt(thaw, calls);
  const returned = Math.min(...own.map(({ returnedAt }) => returnedAt));
  const held = Math.min(heldAt ?? returned, returned);
  const leaseEnds = Math.max(...own.map(({ returnedAt, ttlMs }) => returnedAt + (ttlMs ?? 0)));
  const late = called - leaseEnds;
  const found = late > 0 ? [`thawed ${late.toFixed(0)} ms after the lease`] : [];
  for (const { kind, at, overAt } of injected) {
    if (at === 'missed' || ![...endsHold, 'evidence-removed'].includes(kind)) continue;
    // A freeze that wrote nothing to the volume has nothing to lose there.
    if (kind === 'evidence-removed' && thaw.receipt?.evidence.onVolume !== true) continue;
    const certainly = [...faults, 'evidence-removed'].includes(kind) ? (overAt ?? Infinity) : at;
    if (at > held && certainly < called) found.push(`${kind} at ${at.toFixed(1)} ms, in the hold`);
  }
  const freed = calls.find(
    (c) => c.verb === 'abandon' && isSameHold(c.receipt, thaw.receipt) && c.returnedAt < called,
  );
  if (freed) found.push(`${freed.by} had released it before`);
  return found;
}

/** The freeze calls whose answer was the hold of this thaw. */
function freezesOf({ receipt }: Called, calls: readonly Called[]): readonly Called[] {
  return calls.filter((c) => c.verb === 'freeze' && c.ok && isSameHold(c.receipt, receipt));
}

/** When this call was first sent; retries have the same key. */
function calledAt(thaw: Called, calls: readonly Called[]): number {
  const tries = calls.filter((c) => c.key !== undefined && c.key === thaw.key);
  return Math.min(thaw.calledAt, ...tries.map((c) => c.calledAt));
}

/** Reports a copy or a freeze of the caller that this success does not cover. */
function notItsOwn(thaw: Called, record: RunRecord, { excuse }: Observed): string[] {
  const { calls, copies } = record;
  const by = thaw.by === 'retry-thaw' ? 'main' : thaw.by;
  const wrong = copies
    .filter((copy) => copy.by === by && copy.endedAt < thaw.calledAt)
    .flatMap((copy) => outside(copy, thaw, calls));
  const freeze = calls.findLast(
    (c) => c.verb === 'freeze' && c.by === by && c.calledAt < thaw.calledAt,
  );
  if (freeze?.ok && !isSameHold(freeze.receipt, thaw.receipt)) {
    const { id, frozenAt } = thaw.receipt ?? {};
    wrong.push(`the freeze of ${freeze.receipt?.id} got the success of ${id} of ${frozenAt}`);
  }
  if (wrong.length === 0) return [];
  const why = excuseFor(thaw, record);
  if (why === undefined) return wrong.map((what) => `thaw by ${thaw.by}: ${what}`);
  excuse(`excused, for ${why}: ${wrong.join('; ')}`);
  return [];
}

function outside(copy: CutCopy, { receipt }: Called, calls: readonly Called[]): string[] {
  const { carries, begunAt } = copy;
  const [began] = calls.filter(
    (c) => c.verb === 'freeze' && c.ok && isSameHold(c.receipt, receipt),
  );
  const early = began !== undefined && begunAt < began.calledAt;
  const path = copy.copy.path.split('/').pop();
  if (early) return [`${path} was cut before the freeze of ${receipt?.id} was requested`];
  if (receipt?.evidence.onVolume !== true || isSameHold(carries, receipt)) return [];
  return [`${path} carries ${carries?.id}, not ${receipt.id} of ${receipt.frozenAt}`];
}

function wrongFreezes({ calls }: RunRecord): string[] {
  return calls
    .filter(({ verb, ok }) => verb === 'freeze' && ok)
    .flatMap((freeze): string[] => {
      const { receipt, by } = freeze;
      if (receipt?.verdict !== 'held') return [`freeze ok, verdict ${receipt?.verdict}`];
      const same = calls.filter((c) => c.verb === 'freeze' && c.id === receipt.id);
      // A failed freeze with the same id may have replaced the receipt.
      if (same.some((c) => !c.ok)) return [];
      const later = calls.find((c) => c.verb === 'thaw' && c.receipt?.id === receipt.id);
      const undone = later?.receipt?.reasons.find((reason) => ROLLED_BACK.includes(reason));
      return undone ? [`freeze by ${by} succeeded, and was rolled back: ${undone}`] : [];
    });
}

/** Two consistent freezes cannot have been held at the same moment. */
function twoAtOnce(record: RunRecord): Finding[] {
  const { calls } = record;
  const spans = successfulThaws(record).flatMap((thaw) => {
    const [began] = freezesOf(thaw, calls);
    return began ? [{ thaw, from: began.returnedAt, to: calledAt(thaw, calls) }] : [];
  });
  const crossed = spans.some((a) =>
    spans.some(
      (b) => !isSameHold(a.thaw.receipt, b.thaw.receipt) && a.from < b.to && b.from < a.to,
    ),
  );
  return crossed ? [{ kind: 'false-success', what: 'two freezes held at the same time' }] : [];
}

/** A success is reported once; only a retry of the same call may get it again. */
function reportedTwice(record: RunRecord): Finding[] {
  const told = successfulThaws(record).filter(({ by }) => by !== 'record');
  return told.flatMap((one, at): Finding[] => {
    const again = told
      .slice(at + 1)
      .find(
        (c) => isSameHold(c.receipt, one.receipt) && (c.key === undefined || c.key !== one.key),
      );
    if (!again) return [];
    const what = `the success of ${one.receipt?.id} was reported to ${one.by} and to ${again.by}`;
    return [{ kind: 'told-twice', what }];
  });
}
