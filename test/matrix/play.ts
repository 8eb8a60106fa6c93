import { setTimeout as sleep } from 'node:timers/promises';
import { type Cell, refusalsOf } from './cells.ts';
import { negativesOf } from './negatives.ts';
import { refuse, restore, startAnyway, tail } from './restore.ts';
import { type Backup, type CellRig, makeCellRig, tryFreeze } from './subject.ts';

const CELL_WITHIN_MS = 600_000;

/** How many of the tries had the required outcome. */
export interface Score {
  good: number;
  tried: number;
}

export interface CellResult {
  readonly major: number;
  readonly cell: Pick<Cell, 'mode' | 'copy' | 'role'>;
  /** Backups that were restored with everything that their receipts promise. */
  readonly restores: Score;
  /** Copies and freezes that were refused with the required code. */
  readonly negatives: Score;
  /** Copies that, started without quiesce's preparation, did not start or were incomplete. */
  readonly spoilt: Score;
  /** The broken promises of the cell; empty if every promise was kept. */
  readonly findings: string[];
  readonly seconds: number;
}

/** Takes backups under load, restores each, spoils copies of them, and tries freezes that must be refused. */
export async function playCell(cell: Cell, major: number, restores: number): Promise<CellResult> {
  const begun = performance.now();
  const score = (): Score => ({ good: 0, tried: 0 });
  const { mode, copy, role } = cell;
  const result = {
    major,
    cell: { mode, copy, role },
    restores: score(),
    negatives: score(),
    spoilt: score(),
    findings: [] as string[],
  };
  let rig: CellRig | undefined;
  try {
    rig = await makeCellRig(cell, major);
    await Promise.race([playOn(rig, cell, result, restores), deadline()]);
  } catch (error) {
    result.findings.push(tail(error));
  } finally {
    await rig?.dispose();
  }
  if (result.restores.tried < restores) {
    result.findings.push(`only ${result.restores.tried} of ${restores} restores were tried`);
  }
  if (cell.orders.length > 0 && result.spoilt.good === 0) {
    result.findings.push('the adversary spoilt nothing: this cell proves nothing');
  }
  return { ...result, seconds: Math.round((performance.now() - begun) / 100) / 10 };
}

/** Rejects after {@link CELL_WITHIN_MS}: a cell that hangs is a finding, and the others continue. */
async function deadline(): Promise<never> {
  await sleep(CELL_WITHIN_MS, undefined, { ref: false });
  throw new Error(`the cell did not end within ${CELL_WITHIN_MS / 1_000} s`);
}

type Unfinished = Omit<CellResult, 'seconds'>;

async function playOn(
  rig: CellRig,
  cell: Cell,
  result: Unfinished,
  restores: number,
): Promise<void> {
  const { major } = result;
  const backups: Backup[] = [];
  for (let n = 0; n < restores; n += 1) {
    backups.push(await rig.take(`${cell.mode}-${n}`, cell.orders[n % cell.orders.length]));
  }
  const unfrozen =
    cell.mode === 'replica-paused' && cell.orders[0] !== undefined
      ? await rig.takeUnfrozen?.(cell.orders[0])
      : undefined;
  await rig.load.stop();
  for (const [n, backup] of backups.entries()) {
    const wrong = await restore(backup, major);
    const what = `restore ${n + 1}${backup.order ? ` (${backup.order})` : ''}`;
    count(result.restores, wrong, result.findings, what);
  }
  // Only the first backup of each order: the others would repeat the same tests.
  for (const backup of backups.slice(0, Math.max(1, cell.orders.length))) {
    await playNegatives(backup, cell, result);
  }
  if (unfrozen) {
    const { fate } = await startAnyway(unfrozen.copy, unfrozen.acked, major, null);
    count(result.spoilt, fate === 'whole' ? ['whole'] : [], [], '');
  }
  for (const { name, env, code } of refusalsOf(cell)) {
    const done = await tryFreeze(rig, env);
    const refused = done.code === 5 && done.output.includes(code);
    const wrong = refused ? [] : [`freeze: ${done.code} ${done.output}, not 5 and ${code}`];
    count(result.negatives, wrong, result.findings, name);
  }
}

async function playNegatives(backup: Backup, cell: Cell, result: Unfinished): Promise<void> {
  for (const negative of negativesOf(cell)) {
    const { wrong, anyway } = await refuse(backup, negative, result.major);
    const what = `${negative.name}${backup.order ? ` (${backup.order})` : ''}`;
    count(result.negatives, wrong, result.findings, what);
    if (anyway) count(result.spoilt, anyway.fate === 'whole' ? ['whole'] : [], [], what);
  }
}

function count(score: Score, wrong: readonly string[], findings: string[], what: string): void {
  score.tried += 1;
  if (wrong.length === 0) score.good += 1;
  else findings.push(`${what}: ${wrong.join('; ')}`);
}
