/**
 * What a restored database may be called, in log, status, metric, alert and pages alike.
 * `refused`: the running server contradicts the receipt. `unproven`: nothing shows that it holds what a
 * receipt promises. `position`: the log in the copy reaches the receipt, and the running server confirms it.
 * `content`: the engine's own deep check passed, too.
 */
export const RESTORE_LEVELS = ['refused', 'unproven', 'position', 'content'] as const;
export type RestoreLevel = (typeof RESTORE_LEVELS)[number];

/**
 * Why a restore is `unproven`. `no-receipt`: the volume carries none. `empty`: the same, and the database
 * has no data of a user. `unchecked`: there is a receipt, but it could not be checked, or not yet.
 */
export const UNPROVEN_REASONS = ['no-receipt', 'empty', 'unchecked'] as const;
export type UnprovenReason = (typeof UNPROVEN_REASONS)[number];

/** The levels that can be asked for: QUIESCE_RESTORE_CHECK. `content` includes `position`. */
export const RESTORE_CHECKS = ['position', 'content'] as const;
export type RestoreCheckLevel = (typeof RESTORE_CHECKS)[number];

/** The deep check of a restored database. `unchecked`: it could not look, or not to the end. */
export const CONTENT_STATES = ['pending', 'passed', 'failed', 'unchecked'] as const;
export type ContentState = (typeof CONTENT_STATES)[number];

/** The part of a check that decides about the level. */
interface Judged {
  readonly ok: boolean;
  readonly deep?: boolean | undefined;
  readonly unchecked?: boolean | undefined;
}

export interface RestoreJudgement {
  readonly level: RestoreLevel;
  readonly reason?: UnprovenReason;
  /** Only where the deep check was asked for. */
  readonly content?: Exclude<ContentState, 'pending'>;
}

/**
 * The level that these checks show. A check that could not look makes the restore `unproven`, and only one
 * that found a difference makes it `refused`. The deep checks decide about the content alone.
 *
 * @param deep whether the deep check was asked for
 */
export function judgeRestore(checks: readonly Judged[], deep: boolean): RestoreJudgement {
  const base = checks.filter((check) => !check.deep && !check.ok);
  const content = deep ? { content: judgeContent(checks.filter((check) => check.deep)) } : {};
  if (base.some((check) => !check.unchecked)) return { level: 'refused', ...content };
  if (base.length > 0) return { level: 'unproven', reason: 'unchecked', ...content };
  return { level: content.content === 'passed' ? 'content' : 'position', ...content };
}

function judgeContent(checks: readonly Judged[]): Exclude<ContentState, 'pending'> {
  if (checks.some((check) => !check.ok && !check.unchecked)) return 'failed';
  return checks.length > 0 && checks.every(({ ok }) => ok) ? 'passed' : 'unchecked';
}
