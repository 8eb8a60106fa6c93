import { type MatrixOptions, parseOptions, USAGE } from './options.ts';
import { type CellResult, playCell } from './play.ts';
import { isGood, render, sum } from './report.ts';

// A cell that was abandoned may still hang; that must not keep this process alive.
process.exit(await main());

async function main(): Promise<number> {
  if (process.argv.slice(2).some((arg) => arg === '--help' || arg === '-h')) {
    process.stdout.write(`${USAGE}\n`);
    return 0;
  }
  let options: MatrixOptions;
  try {
    options = parseOptions(process.argv.slice(2));
  } catch (error) {
    process.stderr.write(`${(error as Error).message}\n${USAGE}\n`);
    return 2;
  }
  let stopped = false;
  for (const signal of ['SIGINT', 'SIGTERM']) process.on(signal, () => (stopped = true));
  const begun = performance.now();
  const results = await playAll(options, () => stopped);
  const seconds = (performance.now() - begun) / 1_000;
  const ok = !stopped && results.every(isGood);
  if (options.output === 'json') {
    process.stdout.write(
      `${JSON.stringify({ ok, seconds, ...sum(results), cells: results }, null, 2)}\n`,
    );
  } else process.stdout.write(render(results, seconds));
  return ok ? 0 : 1;
}

/** Runs the cells, `jobs` at a time. @returns their results in the order of the table. */
async function playAll(
  { majors, cells, restores, jobs }: MatrixOptions,
  stopped: () => boolean,
): Promise<CellResult[]> {
  const all = majors.flatMap((major) => cells.map((cell) => ({ major, cell })));
  const results: CellResult[] = [];
  let next = 0;
  const work = async (): Promise<void> => {
    for (let at = next++; at < all.length && !stopped(); at = next++) {
      const { major, cell } = all[at] as (typeof all)[number];
      const result = await playCell(cell, major, restores);
      results[at] = result;
      printProgress(result, Object.keys(results).length, all.length);
    }
  };
  await Promise.all(Array.from({ length: jobs }, work));
  return results.filter((result) => result !== undefined);
}

function printProgress(
  { major, cell, restores, negatives, findings, seconds }: CellResult,
  done: number,
  of: number,
): void {
  const name = `${major} ${cell.mode} ${cell.copy} ${cell.role}`;
  process.stderr.write(
    `  ${done}/${of}  ${name}: ${restores.good}/${restores.tried} restored, ${negatives.good}/${negatives.tried} refused, ${seconds} s\n`,
  );
  for (const what of findings) process.stderr.write(`    ✗ ${what}\n`);
}
