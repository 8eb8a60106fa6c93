import type { RunMember, RunProblem, SnapshotRun } from '../document.ts';
import { retainedText } from '../retained.ts';
import { formatBytes } from '../../objects/bytes.ts';
import type { ReportedProblem } from '../../report/problems.ts';
import { memberName, moment, namespacesIn, plain } from '../../report/words.ts';
import { counted } from '../../../lib/counted.ts';

/** What the verdict is worth, as a sentence. */
export function verdictSentence(run: SnapshotRun): string {
  const { verdict, members } = run;
  const count = counted(members.length, 'member');
  if (verdict === 'proven') {
    const which = run.leftOut === undefined ? 'Every volume' : 'Every volume that is not left out';
    const loose = unfrozenText(run);
    if (loose !== undefined) {
      return `${which} of ${count} was cut and can be restored, but of these nothing is proven, since nothing froze them, as declared: ${loose}.`;
    }
    return `${which} of ${count} was cut while its database was held, and can be restored.`;
  }
  if (verdict === 'unproven') return `The snapshots of ${count} exist, but nothing proves them.`;
  return 'Nothing of this run can be relied on.';
}

/** The claims that were cut and that nothing froze. */
function unfrozenText({ unfrozen }: SnapshotRun): string | undefined {
  if (!Array.isArray(unfrozen) || unfrozen.length === 0) return undefined;
  return claimsText(unfrozen as NonNullable<SnapshotRun['unfrozen']>);
}

function claimsText(
  all: readonly { readonly namespace: string; readonly claim: string }[],
): string {
  const names = all.slice(0, 5).map(({ namespace, claim }) => plain(`${namespace}/${claim}`));
  const more = all.length > names.length ? ` and ${all.length - names.length} more` : '';
  return `${names.join(', ')}${more}`;
}

/** How the members stand to one another. */
export function togetherSentence(run: SnapshotRun): string | undefined {
  const { together } = run;
  if (together === undefined) return undefined;
  const at = moment(together.at, true);
  const { kind, until, driverAt } = together;
  if (kind === 'exact' && driverAt !== undefined) {
    const last = until === undefined ? '' : ` and ${moment(until, true)}`;
    return `exact: all members are of one moment, between ${at}${last} by the clock of the command; the driver’s clock is off, and says ${moment(driverAt, true)}.`;
  }
  if (kind === 'exact') {
    return `exact: all members are of one moment, ${at} by the driver’s clock.`;
  }
  const where = unfrozenText(run) !== undefined ? 'every volume that was frozen' : 'every member';
  return `complete to ${at}: what was acknowledged before is in ${where}; what came later may be in some.`;
}

/** The claims that no snapshot was made of, as the user asked for. */
export function leftOutText({ leftOut }: SnapshotRun): string | undefined {
  if (!Array.isArray(leftOut) || leftOut.length === 0) return undefined;
  return `${claimsText(leftOut as NonNullable<SnapshotRun['leftOut']>)}, by the label velero.io/exclude-from-backup`;
}

export function bytesIn(members: readonly RunMember[]): number {
  return members
    .flatMap(({ snapshots }) => snapshots)
    .reduce((sum, { restoreSize = 0 }) => sum + restoreSize, 0);
}

/** `shop: 3 VolumeSnapshots, 20 GiB`, one for each namespace. */
export function keptLines(run: SnapshotRun): readonly string[] {
  const all = run.members.flatMap(({ snapshots }) => snapshots);
  const once = [...new Map(all.map((one) => [`${one.namespace}/${one.name}`, one])).values()];
  return [...new Set(once.map(({ namespace }) => namespace))].toSorted().map((namespace) => {
    const own = once.filter((one) => one.namespace === namespace);
    const bytes = own.reduce((sum, { restoreSize = 0 }) => sum + restoreSize, 0);
    const waiting = own.filter(({ ready }) => !ready).length;
    const size = bytes === 0 ? '' : `, ${formatBytes(bytes)}`;
    const rest = waiting === 0 ? '' : `, ${waiting} not ready`;
    return plain(`${namespace}: ${counted(own.length, 'VolumeSnapshot')}${size}${rest}`);
  });
}

/** Of a run without snapshots: storage that stays is not nothing. */
export function nothingKept({ problems, retained }: SnapshotRun): string {
  if (problems.some(({ code }) => code === 'NOT_DISCARDED')) {
    return 'What was cut could not be deleted, and may still be there.';
  }
  return retained === undefined
    ? 'Nothing is kept.'
    : `No VolumeSnapshot is kept, but ${retainedText(retained)}, with the storage behind.`;
}

/** Problems of the run and of its members, each with whose it is. */
export function problemsIn(run: SnapshotRun): readonly ReportedProblem[] {
  const several = namespacesIn(run).length > 1;
  const ofMembers = run.members.flatMap((member) =>
    member.problems.map((one) => ({ ...one, of: memberName(member, several) })),
  );
  const key = ({ code, message }: RunProblem): string => JSON.stringify([code, message]);
  const told = new Map(ofMembers.map((one) => [key(one), one]));
  const first = run.problems.map((one) => told.get(key(one)) ?? { ...one, of: undefined });
  // A failure of a member is the run's, too: it is shown once, where the run has it.
  return [...new Map([...first, ...ofMembers].map((one) => [key(one), one])).values()];
}
