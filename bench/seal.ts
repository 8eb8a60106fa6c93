import { execFile } from 'node:child_process';
import { mkdir, open, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { Sealer } from '../src/engines/shared/seal/seal.ts';
import { syncFile, closeFd } from '../src/engines/shared/seal/sync-file.ts';
import { Walk } from '../src/engines/shared/seal/walk.ts';
import type { Workspace } from '../src/testbed/workspace.ts';
import { type Arguments, type Benchmark, program, progress } from './support/program.ts';
import { figure, type Report, times } from './support/report.ts';

const run = promisify(execFile);
const PER_FOLDER = 1_000;
const MIB = 2 ** 20;
/** After so many the machine is too busy for a listing within its bound. */
const MOST_FREEZES = 12;

const benchmark: Benchmark = {
  name: 'seal',
  summary:
    'Ways to get the files outside of a database to the disk: one syncfs of the volume (sync -f) against an fsync\nof each file in two lanes, and what a repeated freeze costs, which only looks for changes; with all files clean,\nand next to dirty pages of a database on the same volume.',
  settings: {
    files: { help: 'clean files on the volume', value: 100_000, quick: 2_000 },
    few: { help: 'clean files on an ordinary volume', value: 100, quick: 100 },
    dirty: { help: 'dirty data of a database, in MiB', value: 1_024, quick: 64 },
    rounds: { help: 'trials of each', value: 3, quick: 1 },
  },
  run: measure,
};

async function fill(dir: string, files: number): Promise<void> {
  for (let n = 0; n < files; n += 1) {
    const folder = join(dir, String(Math.floor(n / PER_FOLDER)));
    if (n % PER_FOLDER === 0) await mkdir(folder, { recursive: true });
    await writeFile(join(folder, String(n)), 'x');
  }
  await run('sync', ['-f', dir]);
}

async function timed(work: () => Promise<unknown>): Promise<number> {
  const begun = performance.now();
  await work();
  return performance.now() - begun;
}

const syncfs = (dir: string) => (): Promise<unknown> => run('sync', ['-f', dir]);

/** Opens and syncs each file and folder, in two lanes. */
const fsyncEach = (dir: string) => async (): Promise<void> => {
  const walk = new Walk({ root: dir, ownFiles: async () => false, acrossVolumes: false });
  const places = walk.places();
  const lane = async (): Promise<void> => {
    for (;;) {
      const { value, done } = await places.next();
      if (done === true) return;
      const outcome = await syncFile(value.path, value.folder);
      if (outcome.type !== 'synced') throw new Error(`${value.path}: ${outcome.type}`);
      await closeFd(outcome.fd);
    }
  };
  await Promise.all([lane(), lane()]);
};

/** A freeze after others: all files are known to be on the disk. */
async function repeated(dir: string): Promise<() => Promise<void>> {
  const sealer = new Sealer(dir, async () => false);
  const seal = async (): Promise<readonly string[]> => {
    const begun = await sealer.begin(
      {
        id: 'bench',
        copy: 'snapshot',
        ttlMs: 1_000,
        progress: () => undefined,
        keep: async () => undefined,
        remember: async () => undefined,
      },
      new AbortController().signal,
    );
    await begun.first();
    await begun.again();
    begun.close();
    return begun.unsynced;
  };
  for (let freezes = 1; freezes <= MOST_FREEZES; freezes += 1) {
    const left = await seal();
    if (left.length === 0) break;
    progress(`seal: freeze ${freezes} left ${left.at(-1)}`);
  }
  return async () => void (await seal());
}

async function dirtyPages(path: string, mib: number): Promise<void> {
  const file = await open(path, 'w');
  const block = Buffer.alloc(MIB, 'x');
  for (let n = 0; n < mib; n += 1) await file.write(block);
  await file.close();
}

const median = (values: readonly number[]): number =>
  values.toSorted((a, b) => a - b)[Math.floor(values.length / 2)] ?? Number.NaN;

async function measure(args: Arguments, { dir }: Workspace): Promise<Report> {
  const [files, few, mib] = [args.number('files'), args.number('few'), args.number('dirty')];
  const [many, ordinary] = [join(dir, 'many'), join(dir, 'ordinary')];
  progress(`seal: making ${files} files`);
  await fill(many, files);
  await fill(ordinary, few);
  // A file that changed within the last seconds is never trusted: the first repeated freeze would sync it again.
  await new Promise((resolve) => setTimeout(resolve, 2_500));
  const again = await repeated(many);
  const ways: readonly (readonly [string, () => Promise<unknown>, boolean])[] = [
    [`syncfs, ${files} clean files`, syncfs(many), false],
    [`fsync of each of ${files}`, fsyncEach(many), false],
    [`a repeated freeze with ${files}`, again, false],
    [`fsync of each of ${few}`, fsyncEach(ordinary), false],
    [`syncfs next to ${mib} MiB dirty`, syncfs(ordinary), true],
    [`fsync of each of ${few} next to ${mib} MiB dirty`, fsyncEach(ordinary), true],
  ];
  const rows = ways.map(([name]) => ({ name, ms: [] as number[] }));
  for (let round = 0; round < args.number('rounds'); round += 1) {
    for (const [at, [name, work, dirty]] of ways.entries()) {
      await run('sync', ['-f', dir]);
      if (dirty) await dirtyPages(join(dir, 'database'), mib);
      progress(`seal: ${name}`);
      rows[at]?.ms.push(await timed(work));
    }
  }
  const base = median(rows[0]?.ms ?? []);
  return {
    title: 'Files outside of the database',
    method: `Medians of ${args.number('rounds')} rounds, in ms; ratios are against one syncfs of the same volume with clean files.`,
    tables: [
      {
        head: ['way', 'ms', 'ratio'],
        rows: rows.map(({ name, ms }) => [name, figure(median(ms)), times(median(ms) / base)]),
      },
    ],
    goals: [
      {
        what: `Next to ${mib} MiB of dirty pages of a database, the time of fsync for ${few} files against one syncfs`,
        measured: median(rows[5]?.ms ?? []) / median(rows[4]?.ms ?? []),
        limit: 1,
      },
    ],
    charts: [],
    notes: [
      'syncfs also writes the dirty pages of the database, names no file, and reports errors only since Linux 5.8; Node cannot call it, and the image has no program that does. So a freeze syncs each file, and does not sync a file again until it changes.',
    ],
  };
}

await program(benchmark);
