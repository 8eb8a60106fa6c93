import { formatDuration } from '../../../lib/duration.ts';
import type { ReportedProblem } from '../../report/problems.ts';
import { memberName, moment, namespacesIn, plain } from '../../report/words.ts';
import { counted } from '../../../lib/counted.ts';
import type { RecoveryRun, RestoredMember, RestoreLayer } from '../document.ts';

/** The verdict, or that there is none yet. */
export function stateOf({ verdict, endedAt }: RecoveryRun) {
  const known = (['proven', 'unproven', 'failed'] as const).find((one) => one === verdict);
  if (known !== undefined) return known;
  // A verdict that nobody knows is none.
  return verdict === undefined && endedAt === undefined ? 'running' : 'failed';
}

export type State = ReturnType<typeof stateOf>;

/** `backup nightly`, `snapshot shop-20261130t180300z-ab12`. */
export function sourceName({ source }: RecoveryRun): string {
  return plain(`${source.kind} ${source.name}`);
}

/** What is back, as a sentence. */
export function verdictSentence(run: RecoveryRun): string {
  const state = stateOf(run);
  const what = run.kind === 'DrillRun' ? 'drill' : 'restore';
  const of = `This ${what} of ${sourceName(run)}`;
  const count = counted(run.members.length, 'member');
  if (state === 'running') {
    const up = run.members.filter(isHealthy).length;
    return `${of} is under way, or its verb has ended: ${up} of ${count} are healthy.`;
  }
  if (state === 'failed') return `${of} has failed: ${failure(run)}.`;
  const healthy = `${count} ${run.members.length === 1 ? 'is' : 'are'} healthy`;
  if (state === 'unproven') {
    return `${of} is done and ${healthy}, but nothing proves that all of the data is there.`;
  }
  return `${of} is done: ${healthy}, and ${proofText(run)}.`;
}

/** What the sidecars say of the data. Volumes that no sidecar judges are told apart: nobody looked at them. */
function proofText({ members }: RecoveryRun): string {
  const judged = members.filter(({ level }) => level === 'position' || level === 'content').length;
  const others = members.filter(isUnjudged).length;
  const verified = `the data of ${judged} was verified against ${judged === 1 ? 'its receipt' : 'their receipts'}`;
  if (others === 0) return judged === 0 ? 'none of them holds data' : verified;
  const blind = `the volumes of ${others} ${judged === 0 ? 'are back, and nobody judged them' : 'were judged by nobody'}`;
  return judged === 0 ? blind : `${verified}; ${blind}`;
}

function failure({ members }: RecoveryRun): string {
  const refused = members.filter(({ level }) => level === 'refused').length;
  if (refused > 0) return `the data of ${counted(refused, 'member')} contradicts its receipt`;
  const down = members.filter((one) => !isHealthy(one)).length;
  return down > 0 ? `${counted(down, 'member')} did not come up` : 'see the problems';
}

export function isHealthy({ timeline }: RestoredMember): boolean {
  return Number.isFinite(timeline?.healthyMs);
}

/** It holds volumes, and has no sidecar that could say what is in them. */
function isUnjudged({ level, bytes = 0 }: RestoredMember): boolean {
  return level === undefined && bytes > 0;
}

/** How old the data is that came back: the oldest of the members, and its age when the run began. */
export function ageText({ members, rpoSeconds }: RecoveryRun): string | undefined {
  const times = members
    .flatMap(({ dataAt = '' }) => (Number.isNaN(Date.parse(dataAt)) ? [] : [dataAt]))
    .toSorted((a, b) => Date.parse(a) - Date.parse(b));
  const [oldest] = times;
  const age = secondsText(rpoSeconds);
  if (age === undefined) return undefined;
  return oldest === undefined ? age : `${age}, of ${moment(oldest)}`;
}

export function secondsText(seconds: number | undefined): string | undefined {
  if (seconds === undefined || !Number.isFinite(seconds) || seconds < 0) return undefined;
  return formatDuration(seconds * 1_000);
}

export function bytesIn({ members }: RecoveryRun): number {
  return members.reduce((sum, { bytes = 0 }) => sum + (Number.isFinite(bytes) ? bytes : 0), 0);
}

/** `Layer 2 of 3: healthy after 12 s`. */
export function layerText({ layers }: RecoveryRun, index: number | undefined): string {
  const layer = index === undefined ? undefined : layers[index];
  if (index === undefined || layer === undefined) return 'In no layer';
  return `Layer ${index + 1} of ${layers.length}: ${progress(layer)}`;
}

function progress({ startedAt, healthyAt }: RestoreLayer): string {
  if (startedAt === undefined) return 'not released';
  const ms = Date.parse(healthyAt ?? '') - Date.parse(startedAt);
  if (Number.isFinite(ms) && ms >= 0) return `healthy after ${formatDuration(ms)}`;
  return `released at ${moment(startedAt)}, not healthy`;
}

/** What nothing proves: each member with the reason. */
export function notProven(run: RecoveryRun): readonly string[] {
  const several = namespacesIn(run).length > 1;
  const members = run.members.flatMap((member) => {
    const doubt = doubtOf(member);
    return doubt === undefined ? [] : [`${memberName(member, several)}: ${doubt}`];
  });
  const lost = (run.notKept ?? []).filter(({ declared }) => declared === undefined);
  return [
    ...members,
    ...lost.map(
      ({ member, volume, why }) =>
        `${memberName(member, several)}: volume ${plain(volume)} is not in the ${plain(run.source.kind)}: ${plain(why)}`,
    ),
  ];
}

function doubtOf(member: RestoredMember): string | undefined {
  const { level, message } = member;
  const said = message === undefined ? '' : `: ${plain(message)}`;
  if (level === 'refused') return `its data contradicts its receipt${said}`;
  if (level === 'unproven') return `nothing proves its data${said}`;
  if (isUnjudged(member)) return 'its volumes are back, and no sidecar judges them';
  if (level === undefined || isHealthy(member)) return undefined;
  return 'it is not healthy';
}

/** Problems of the run and of its members, each with whose it is. */
export function problemsIn(run: RecoveryRun): readonly ReportedProblem[] {
  const several = namespacesIn(run).length > 1;
  return [
    ...run.problems.map(({ object, ...one }) => ({
      ...one,
      of: object === undefined ? undefined : plain(object),
    })),
    ...run.members.flatMap((member) =>
      member.problems.map(({ object, ...one }) => ({
        ...one,
        of: [memberName(member, several), ...(object === undefined ? [] : [plain(object)])].join(
          ', ',
        ),
      })),
    ),
  ];
}
