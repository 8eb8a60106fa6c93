import { setTimeout as sleep } from 'node:timers/promises';
import { type Cell, refusalsOf } from './cells.ts';
import { negativesOf } from './negatives.ts';
import { refuse, restore, startAnyway, tail } from './restore.ts';
import { type Backup, makeSubject, type Subject, tryFreeze } from './subject.ts';

const CELL_WITHIN_MS = 600_000;

/** How often it came out as it must, of how often it was tried. */
export interface Score {
  good: number;
  tried: number;
}

export interface CellResult {
  readonly major: number;
  readonly cell: Pick<Cell, 'mode' | 'copy' | 'role'>;
  /** Restored with everything that was promised. */
  readonly restores: Score;
  /** Refused, loudly, as it must be. */
  readonly negatives: Score;
  /** Copies that were started without what quiesce puts in place, and were not whole or did not start. */
  readonly spoilt: Score;
  /** What is wrong with the cell; nothing where every promise was kept. */
  readonly findings: string[];
  readonly seconds: number;
}

/** Takes backups under load, then restores each of them, spoils copies of them, and asks for the impossible. */
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
  let subject: Subject | undefined;
  try {
    subject = await makeSubject(cell, major);
    await Promise.race([playOn(subject, cell, result, restores), tooLate()]);
  } catch (error) {
    result.findings.push(tail(error));
  } finally {
    await subject?.dispose();
  }
  if (result.restores.tried < restores) {
    result.findings.push(`only ${result.restores.tried} of ${restores} restores were tried`);
  }
  if (cell.orders.length > 0 && result.spoilt.good === 0) {
    result.findings.push('the adversary spoilt nothing: this cell proves nothing');
  }
  return { ...result, seconds: Math.round((performance.now() - begun) / 100) / 10 };
}

/** A cell that hangs is a finding, and the others go on. */
async function tooLate(): Promise<never> {
  await sleep(CELL_WITHIN_MS, undefined, { ref: false });
  throw new Error('the cell does not end');
}

type Unfinished = Omit<CellResult, 'seconds'>;

async function playOn(
  subject: Subject,
  cell: Cell,
  result: Unfinished,
  restores: number,
): Promise<void> {
  const { major } = result;
  const backups: Backup[] = [];
  for (let n = 0; n < restores; n += 1) {
    backups.push(await subject.take(`${cell.mode}-${n}`, cell.orders[n % cell.orders.length]));
  }
  const unfrozen =
    cell.mode === 'replica-paused' && cell.orders[0] !== undefined
      ? await subject.takeUnfrozen?.(cell.orders[0])
      : undefined;
  await subject.load.stop();
  for (const [n, backup] of backups.entries()) {
    const wrong = await restore(backup, major);
    const what = `restore ${n + 1}${backup.order ? ` (${backup.order})` : ''}`;
    count(result.restores, wrong, result.findings, what);
  }
  // The first of each order: the rest would only repeat it.
  for (const backup of backups.slice(0, Math.max(1, cell.orders.length))) {
    await playNegatives(backup, cell, result);
  }
  if (unfrozen) {
    const { fate } = await startAnyway(unfrozen.copy, unfrozen.acked, major, null);
    count(result.spoilt, fate === 'whole' ? ['whole'] : [], [], '');
  }
  for (const { name, env, code } of refusalsOf(cell)) {
    const done = await tryFreeze(subject, env);
    const loud = done.code === 5 && done.said.includes(code);
    const wrong = loud ? [] : [`freeze: ${done.code} ${done.said}, not 5 and ${code}`];
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
