import type { RestoreLevel } from '../../receipt/restore-level.ts';
import type { RestoredMember, RestoreProblem, RestoreVerdict } from '../restore/document.ts';
import type { CopiedMember } from './copies.ts';
import type { Judged } from './states.ts';

/** What is known of one copy at the end. Times are milliseconds since the start of the drill. */
export interface CopyResult {
  readonly pod: string;
  readonly judged?: Judged;
  readonly failed?: { readonly code: string; readonly why: string };
  /** Why it is neither: it was not done in time. */
  readonly doing?: string;
  readonly notes: readonly string[];
  readonly bytes: number;
  readonly createdMs?: number;
  readonly readyMs?: number;
  readonly judgedMs?: number;
}

export interface Expected {
  /** The deep check was asked for. */
  readonly deep: boolean;
  /** The freeze whose receipt each copy must carry. */
  readonly receiptId?: string | undefined;
}

/** The volume is not that of the source, whatever it holds. */
const OTHER = 'RECEIPT_OF_ANOTHER';
const ORDER: readonly RestoreLevel[] = ['refused', 'unproven', 'position', 'content'];

/** The result of a member: the worst of its copies. Pure. */
export function memberResult(
  { namespace, kind, name, engine, doubts }: CopiedMember,
  copies: readonly CopyResult[],
  expected: Expected,
): RestoredMember {
  const judged = copies.map((one) => ({ one, ...levelOf(one, expected) }));
  const problems = [
    ...doubts,
    ...judged.flatMap(({ problem }) => (problem === undefined ? [] : [problem])),
  ];
  const levels = [
    ...judged.map(({ level }) => level),
    ...(doubts.length > 0 || copies.length === 0 ? (['unproven'] as const) : []),
  ];
  const level = ORDER.find((one) => levels.includes(one)) ?? 'unproven';
  const worst = judged.find((one) => one.level === level)?.one;
  const said = worst?.judged?.message ?? problems[0]?.message;
  const dataAt = oldest(copies);
  const bytes = copies.reduce((sum, one) => sum + one.bytes, 0);
  return {
    namespace,
    kind,
    name,
    ...(engine !== undefined && { engine }),
    level,
    ...(said !== undefined && { message: said }),
    problems,
    timeline: timelineOf(copies),
    ...(dataAt !== undefined && { dataAt }),
    ...(bytes > 0 && { bytes }),
  };
}

function levelOf(
  { pod, judged, failed, doing }: CopyResult,
  { deep, receiptId }: Expected,
): { readonly level: RestoreLevel; readonly problem?: RestoreProblem } {
  const of = (code: string, message: string): RestoreProblem => ({
    code,
    message,
    object: `Pod/${pod}`,
  });
  if (failed !== undefined) {
    const level = failed.code === 'RESTORE_REFUSED' ? 'refused' : 'unproven';
    return { level, problem: of(failed.code, `The copy did not start: ${failed.why}.`) };
  }
  if (judged === undefined) {
    const text = `The data of the copy was not judged in time: ${doing ?? 'it was not started'}.`;
    return { level: 'unproven', problem: of('NOT_JUDGED', text) };
  }
  const { level, message, receipt, content, contentSaid = '' } = judged;
  if (level === 'refused') return { level, problem: of('DATA_REFUSED', message) };
  const wanted = receiptId === undefined || level === 'unproven' || receipt === receiptId;
  if (!wanted) {
    const text = `The copy carries the receipt of the freeze ${receipt}, not of ${receiptId}.`;
    return { level: 'unproven', problem: of(OTHER, text) };
  }
  if (deep && content === 'failed') {
    return {
      level: 'refused',
      problem: of('CONTENT_FAILED', `The deep check failed: ${contentSaid}`),
    };
  }
  if (deep && level === 'position') {
    const text = `The deep check could not look at everything: ${contentSaid}`;
    return { level, problem: of('CONTENT_UNCHECKED', text) };
  }
  return { level };
}

function timelineOf(copies: readonly CopyResult[]): RestoredMember['timeline'] {
  const all = (pick: (one: CopyResult) => number | undefined): number | undefined => {
    const times = copies.map(pick);
    if (times.length === 0 || times.some((one) => one === undefined)) return undefined;
    return Math.max(...(times as number[]));
  };
  const first = copies.flatMap(({ createdMs }) => createdMs ?? []);
  const [released, ready, verified] = [
    first.length === 0 ? undefined : Math.min(...first),
    all((one) => one.readyMs),
    all((one) => (one.failed === undefined ? one.judgedMs : undefined)),
  ];
  return {
    ...(released !== undefined && { releasedMs: released }),
    ...(ready !== undefined && { readyMs: ready }),
    ...(verified !== undefined && { verifiedMs: verified, healthyMs: verified }),
  };
}

function oldest(copies: readonly CopyResult[]): string | undefined {
  const times = copies.map(({ judged }) => judged?.dataAt);
  if (times.length === 0 || times.some((one) => one === undefined)) return undefined;
  return (times as string[]).toSorted((a, b) => Date.parse(a) - Date.parse(b))[0];
}

/** The verdict over all members, and the age of the oldest data. Pure. */
export function verdictOf(
  members: readonly RestoredMember[],
  problems: readonly RestoreProblem[],
  { deep }: Pick<Expected, 'deep'>,
): RestoreVerdict {
  const down = members.some(
    ({ level, timeline, problems: own }) =>
      level === 'refused' ||
      own.some(({ code }) => code === OTHER) ||
      (timeline.healthyMs === undefined && own.some(isFailure)),
  );
  const broken = problems.some(({ code }) => code !== 'SOURCE_UNPROVEN');
  if (down || broken || members.length === 0) return 'failed';
  const wanted: RestoreLevel = deep ? 'content' : 'position';
  const proven = members.every(
    ({ level = 'unproven' }) => ORDER.indexOf(level) >= ORDER.indexOf(wanted),
  );
  return proven && problems.length === 0 ? 'proven' : 'unproven';
}

/** Doubts are no failures: nothing was started for them. */
function isFailure({ code }: RestoreProblem): boolean {
  return !['VOLUME_NOT_IN_SOURCE', 'VOLUME_NOT_JUDGED'].includes(code);
}

/** Seconds; `undefined` where the age of the data of one member is not known. */
export function rpoOf(members: readonly RestoredMember[], startedAt: number): number | undefined {
  const times = members.map(({ dataAt }) => Date.parse(dataAt ?? ''));
  if (times.length === 0 || times.some(Number.isNaN)) return undefined;
  return Math.max(0, Math.round((startedAt - Math.min(...times)) / 1_000));
}
