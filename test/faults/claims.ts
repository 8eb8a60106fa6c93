import type { FaultMode } from './engine.ts';
import type { Called, Finding, RunRecord } from './records.ts';

const ROLLED_BACK = ['freeze-timeout', 'freeze-failed', 'freeze-aborted', 'caller-gone'];

/**
 * What the calls claimed, against what is known from outside to have happened.
 *
 * @param heldAt when the hold was in the journal; it is in place since a little before.
 */
export function judgeClaims(
  record: RunRecord,
  plan: { readonly ttlMs: number; readonly id: string },
  { endsHold, faults }: FaultMode,
  heldAt: number | undefined,
): Finding[] {
  const found: Finding[] = [];
  const lie = (what: string): void => void found.push({ kind: 'false-success', what });
  const { calls, injected } = record;
  const thaws = calls.filter(({ verb, ok }) => verb === 'thaw' && ok);
  const freezes = calls.filter(({ verb, ok }) => verb === 'freeze' && ok);
  for (const thaw of thaws) {
    const id = thaw.receipt?.id;
    if (thaw.receipt?.verdict !== 'consistent') lie(`thaw ok, verdict ${thaw.receipt?.verdict}`);
    if (thaw.by === 'foreign-thaw') lie('a thaw with an id that was never frozen succeeded');
    if (thaw.by === 'record' && !calls.some((c) => c !== thaw && mayEnd(c, id))) {
      lie(`${id} is consistent on record, and nobody asked for its thaw`);
    }
    if (thaw.by === 'main' && id !== plan.id && freezes.some(({ by }) => by === 'main')) {
      lie(`the thaw of ${plan.id} was answered with the success of ${id}`);
    }
    const named = freezes.filter(({ receipt }) => receipt?.id === id);
    const own = named.filter(({ receipt }) => isSameHold(receipt, thaw.receipt));
    if (thaw.id !== undefined && thaw.id !== id) lie(`thaw of ${thaw.id} answered with ${id}`);
    // Its caller was killed before it heard of the freeze; or without an id, and the answer a
    // repetition of the last one: its caller has been told that its own freeze failed.
    if (own.length === 0) continue;
    const called = Math.min(...calls.filter((c) => mayEnd(c, id)).map((c) => c.calledAt));
    const returned = Math.min(...own.map(({ returnedAt }) => returnedAt));
    // Of several holds of one id it is not known which of them the journal's moment belongs to.
    const known = id === plan.id && own.length === named.length;
    const held = known ? Math.min(heldAt ?? returned, returned) : returned;
    const leaseEnds = Math.max(...own.map(({ returnedAt }) => returnedAt)) + plan.ttlMs;
    if (called > leaseEnds) lie(`thawed ${(called - leaseEnds).toFixed(0)} ms after the lease`);
    for (const { kind, at, overAt } of injected) {
      if (at === 'missed' || !endsHold.includes(kind)) continue;
      const by = faults.includes(kind) ? (overAt ?? Infinity) : at;
      if (at > held && by < called) lie(`${kind} at ${at.toFixed(1)} ms, within the hold`);
    }
  }
  for (const freeze of freezes) {
    const { receipt } = freeze;
    if (receipt?.verdict !== 'held') lie(`freeze ok, verdict ${receipt?.verdict}`);
    const later = calls.find((c) => c.verb === 'thaw' && c.receipt?.id === receipt?.id);
    const undone = later?.receipt?.reasons.find((reason) => ROLLED_BACK.includes(reason));
    // The receipt of one that failed under the same id afterwards has taken its place.
    const again = calls.some(
      (c) => c.verb === 'freeze' && !c.ok && c.id === receipt?.id && c.calledAt > freeze.calledAt,
    );
    if (undone && !again) lie(`freeze by ${freeze.by} succeeded, and was rolled back: ${undone}`);
  }
  return [...found, ...twoAtOnce(record)];
}

/** Are these of one hold? An id may be used again once its freeze has ended. */
export function isSameHold(one: Called['receipt'], other: Called['receipt']): boolean {
  return one !== undefined && one.id === other?.id && one.frozenAt === other.frozenAt;
}

/** Is this a thaw that may have ended the freeze of that id? */
export function mayEnd(call: Called, id: string | undefined): boolean {
  return call.verb === 'thaw' && (call.id === undefined || call.id === id);
}

/** Two freezes that both claim to have held cannot have been held at the same moment. */
function twoAtOnce({ calls }: RunRecord): Finding[] {
  const spans = calls
    .filter(({ verb, ok }) => verb === 'thaw' && ok)
    .flatMap(({ receipt, calledAt }) => {
      const began = calls.find((c) => c.verb === 'freeze' && c.ok && c.receipt?.id === receipt?.id);
      return began ? [{ id: receipt?.id, from: began.returnedAt, to: calledAt }] : [];
    });
  const crossed = spans.some((a) =>
    spans.some((b) => a.id !== b.id && a.from < b.to && b.from < a.to),
  );
  return crossed ? [{ kind: 'false-success', what: 'two freezes held at the same time' }] : [];
}
