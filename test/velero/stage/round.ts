import type { App, Comparison, Hold, Ledger, Waits } from '../apps/index.ts';
import { firstCut } from './cuts.ts';
import type { Stage, Way } from './stage.ts';
import type { Ended } from './velero.ts';

/** One backup of a way and what came of it. */
export interface Round {
  readonly backup: Ended;
  /** The longest time from the call of a pod's first hook to the return of its last one; `null` without a pair. */
  readonly heldMs: number | null;
  /** The writers' waits during that time. */
  readonly waits: Waits;
  /** From the restore's creation until its pods were ready; `null` if they never were. */
  readonly restoreMs: number | null;
  /** `null` where no server came up to be asked. */
  readonly compared: Comparison | null;
  /** Acknowledged before the snapshot was cut, and not there: more than any freeze promises. */
  readonly missingAtCut: number | null;
}

/** The columns of bench/results-cluster.md: every way is measured by this code. */
export const COLUMNS = {
  completed: 'backup completed',
  held: 'held',
  slowest: 'slowest commit',
  p99: 'p99 of commits',
  backup: 'backup',
  restore: 'restore',
  cameUp: 'server came up',
  missing: 'missing writes',
  missingAtCut: 'missing at the cut',
} as const;

export function measureRound(stage: Stage, way: Way | null, round: Round): void {
  const { backup, heldMs, waits, restoreMs, compared, missingAtCut } = round;
  const { completed, held, slowest, p99, restore, cameUp, missing } = COLUMNS;
  stage.measure(completed, backup.phase === 'Completed' ? 1 : 0, 'yes', way);
  if (heldMs !== null) stage.measure(held, heldMs, 'ms', way);
  stage.measure(slowest, waits.maxMs, 'ms', way);
  stage.measure(p99, waits.p99, 'ms', way);
  stage.measure(COLUMNS.backup, backup.tookMs, 'ms', way);
  if (restoreMs !== null) stage.measure(restore, restoreMs, 'ms', way);
  stage.measure(cameUp, compared?.canLogIn === true ? 1 : 0, 'yes', way);
  if (compared !== null) stage.measure(missing, compared.missing, 'writes', way);
  if (missingAtCut !== null) stage.measure(COLUMNS.missingAtCut, missingAtCut, 'writes', way);
}

/** Compares with what was acknowledged before the hold, and with what was before the cut. */
export async function compareTwice(
  stage: Stage,
  app: App,
  namespace: string,
  {
    ledger,
    hold,
    backup,
  }: { readonly ledger: Ledger; readonly hold: Hold; readonly backup: Ended },
): Promise<{ readonly compared: Comparison; readonly missingAtCut: number | null }> {
  const access = stage.access(namespace);
  const compared = await app.compare(access, ledger, hold);
  const cut = await firstCut(backup);
  if (cut === null) return { compared, missingAtCut: null };
  const { missing } = await app.compare(access, ledger, { freezeCalledAt: cut });
  return { compared, missingAtCut: missing };
}
