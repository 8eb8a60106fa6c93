import type { Acknowledged } from './engine.ts';
import {
  type Called,
  type CutCopy,
  type Finding,
  isSameHold,
  mayEnd,
  type RunRecord,
} from './records.ts';
import type { Rig } from './rig.ts';

export interface RestoredCopies {
  readonly findings: readonly Finding[];
  /** Copies that were started and examined, and those that `prepare-restore` refused. */
  readonly done: number;
  readonly refused: number;
}

/**
 * Restores the copies of a run as a user does. A copy of a freeze must contain the writes acknowledged
 * before it. It may be refused only if no successful thaw covers it.
 */
export async function restoreCopies(rig: Rig, record: RunRecord): Promise<RestoredCopies> {
  const findings: Finding[] = [];
  let [done, refused] = [0, 0];
  for (const cut of record.copies) {
    const vouched = vouchedFor(rig, record, cut);
    const id = cut.carries?.id ?? vouched;
    if (id === undefined || !frozen(record, id)) continue;
    const acknowledged = acknowledgedBefore(rig, record, id);
    const receipt = thawOf(record, id)?.receipt;
    const { path } = cut.copy;
    const came = await rig.database.restore(cut.copy, { acknowledged, receipt });
    if ('refused' in came) {
      refused += 1;
      rig.log.note(`prepare-restore of ${path} refused: ${came.refused}`);
      if (vouched === undefined) continue;
      const what = `the copy covered by the successful thaw of ${vouched} is refused: ${came.refused}`;
      findings.push({ kind: 'false-success', what });
    } else {
      done += 1;
      rig.log.note(
        `restored ${path}: ${came.wrong.join('; ') || (came.all ? 'all is there' : 'whole')}`,
      );
      for (const what of came.wrong) {
        findings.push({ kind: 'false-success', what: `restored ${id}: ${what}` });
      }
    }
  }
  return { findings, done, refused };
}

/** Whether this run froze with that id. A receipt of an earlier run says nothing about this one. */
function frozen({ calls }: RunRecord, id: string): boolean {
  return calls.some((c) => c.verb === 'freeze' && (c.id === id || c.receipt?.id === id));
}

/** The successful thaw of that freeze, or else any. */
function thawOf({ calls }: RunRecord, id: string): Called | undefined {
  const said = calls.filter((c) => c.verb === 'thaw' && c.receipt?.id === id);
  return said.find(({ ok }) => ok) ?? said[0];
}

function acknowledgedBefore(
  { mode }: Rig,
  { calls }: RunRecord,
  id: string,
): Acknowledged | undefined {
  const first = (of: (call: Called) => boolean): Called | undefined =>
    calls.filter(of).toSorted((a, b) => a.calledAt - b.calledAt)[0];
  const freeze = first((c) => c.verb === 'freeze' && (c.id === id || c.receipt?.id === id));
  if (mode.holdsUntil === 'freeze') return freeze?.acknowledged;
  const thaw = first((c) => mayEnd(c, id) && c.calledAt > (freeze?.calledAt ?? 0));
  return (thaw ?? freeze)?.acknowledged;
}

/** Id of the freeze whose thaw succeeded and during whose hold this copy was cut, and completed in time. */
function vouchedFor(
  { database, mode }: Rig,
  { calls, injected }: RunRecord,
  { begunAt, endedAt, completedAt }: CutCopy,
): string | undefined {
  if (database.complete && completedAt === undefined) return undefined;
  for (const { verb, by, ok, receipt } of calls) {
    if (verb !== 'thaw' || !ok || !receipt) continue;
    // A backup completes such a copy after a successful thaw, and no caller got this answer.
    if (database.complete && by === 'record') continue;
    const began = calls.find((c) => c.verb === 'freeze' && c.ok && isSameHold(c.receipt, receipt));
    if (!began) continue;
    // A thaw may only repeat the answer of an earlier one, which ended the hold.
    const thaws = calls.filter((c) => mayEnd(c, receipt.id) && c.returnedAt > began.calledAt);
    const calledAt = Math.min(...thaws.map((c) => c.calledAt));
    if (begunAt <= began.returnedAt || endedAt >= calledAt) continue;
    // What is copied after the thaw is kept only by a server that keeps running.
    const lost = injected.some(
      ({ kind, at }) =>
        at !== 'missed' && at > calledAt && at < (completedAt ?? 0) && mode.endsHold.includes(kind),
    );
    if (!lost) return receipt.id;
  }
  return undefined;
}
