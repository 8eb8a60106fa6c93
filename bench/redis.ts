import { mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { type BlockVolume, makeBlockVolume } from '../src/demo/block-volume.ts';
import { tool } from '../src/demo/os.ts';
import { startSidecarBeside } from '../src/demo/processes.ts';
import { missingOn, RedisLoad } from '../src/demo/redis-load.ts';
import { RedisServer } from '../src/demo/redis-server.ts';
import type { Workspace } from '../src/demo/workspace.ts';
import { type Arguments, type Benchmark, program, progress } from './support/program.ts';
import { figure, type Report, type Table, times } from './support/report.ts';
import { median } from './support/stats.ts';
import type { Treatment } from './support/trial.ts';

const benchmark: Benchmark = {
  name: 'redis',
  summary:
    'What writers of Redis wait for a freeze and what a block-level copy made in it lacks: quiesce\nagainst a pause and an fsync by hand, against CLIENT PAUSE alone, and against a BGSAVE waited for.',
  settings: {
    server: { help: 'name on PATH, or path', value: 'redis-server' },
    rounds: { help: 'trials of each treatment', value: 12, quick: 2 },
    copies: { help: 'of those, how many make a copy', value: 4, quick: 1 },
    clients: { help: 'writers', value: 8 },
    think: { help: 'mean pause of a writer between writes, in ms', value: 2 },
  },
  run,
};

const POLICIES = {
  'AOF everysec': ['appendonly yes', 'appendfsync everysec', 'save ""'],
  'RDB only': ['appendonly no', 'save 3600 1'],
} as const;

const PAUSE_MS = 60_000;
const SETTLE_MS = 400;
const LOOK_EVERY_MS = 5;

/** One server on a block device, its writers, and the ways to freeze it. */
interface Bed {
  readonly policy: string;
  readonly config: readonly string[];
  readonly binary: string;
  readonly volume: BlockVolume;
  readonly load: RedisLoad;
  readonly treatments: readonly Treatment[];
}

interface Loss {
  /** Acknowledged before the copy was begun and not in it. */
  readonly missing: number;
  /** A server that finds the end of its AOF damaged refuses to start: then all of it is missing. */
  readonly starts: boolean;
}

interface Outcome {
  readonly policy: string;
  readonly treatment: string;
  /** The longest that a write waited, in milliseconds. */
  readonly stallMs: number;
  readonly freezeMs: number;
  readonly thawMs: number;
  /** `null`: no copy was made. */
  readonly loss: Loss | null;
}

async function makeBed(
  workspace: Workspace,
  policy: keyof typeof POLICIES,
  args: Arguments,
): Promise<Bed> {
  const [config, binary] = [POLICIES[policy], args.text('server')];
  const name = policy.replaceAll(/\W/g, '');
  let server: RedisServer | undefined;
  const volume = await makeBlockVolume(workspace.dir, { name, postmaster: () => server?.pid });
  await workspace.defer(() => volume.dispose());
  const started = await RedisServer.start({ binary, dir: join(volume.path, 'data'), config });
  server = started;
  await workspace.defer(() => started.kill());
  const sidecar = await startSidecarBeside(workspace, `sc-${name}`, {
    engine: 'redis',
    dataDir: volume.path,
    app: 'bench',
    connection: { REDIS_HOST: '127.0.0.1', REDIS_PORT: String(started.port) },
  });
  await sidecar.ready();
  const load = new RedisLoad(started, args.number('clients'), { thinkMs: args.number('think') });
  await workspace.defer(() => load.stop());
  load.start();
  const hook = async (verb: 'freeze' | 'thaw'): Promise<void> => {
    const url = `http://127.0.0.1:${sidecar.controlPort}/v1/${verb}`;
    const response = await fetch(url, { method: 'POST' });
    if (!response.ok) throw new Error(`quiesce ${verb}: ${await response.text()}`);
    await response.arrayBuffer();
  };
  const quiesce = { name: 'quiesce', freeze: () => hook('freeze'), thaw: () => hook('thaw') };
  const treatments = [quiesce, ...byHand(started, policy)];
  return { policy, config, binary, volume, load, treatments };
}

/** What people write into hooks; over an open connection, so that no program's start is counted. */
function byHand(server: RedisServer, policy: keyof typeof POLICIES): Treatment[] {
  const pause = async (): Promise<void> => {
    await server.admin.call('CLIENT', 'PAUSE', PAUSE_MS, 'WRITE');
  };
  const unpause = async (): Promise<void> => {
    await server.admin.call('CLIENT', 'UNPAUSE');
  };
  const fsync = async (): Promise<void> => {
    await server.admin.call('CONFIG', 'SET', 'appendfsync', 'always');
    await server.admin.call('CONFIG', 'SET', 'appendfsync', 'everysec');
  };
  const save = async (): Promise<void> => {
    await server.admin.call('BGSAVE');
    while ((await server.info('rdb_bgsave_in_progress')) !== '0') await sleep(LOOK_EVERY_MS);
  };
  const durable = policy === 'RDB only' ? save : fsync;
  const port = String(server.port);
  const script = async (): Promise<void> => {
    const cli = async (...words: string[]): Promise<string> =>
      await tool('redis-cli', '-p', port, ...words);
    await cli('BGSAVE');
    while (!/rdb_bgsave_in_progress:0/.test(await cli('INFO', 'persistence'))) {
      await sleep(LOOK_EVERY_MS);
    }
  };
  return [
    {
      name: policy === 'RDB only' ? 'pause + BGSAVE by hand' : 'pause + fsync by hand',
      freeze: async () => {
        await pause();
        await durable();
      },
      thaw: unpause,
    },
    { name: 'CLIENT PAUSE alone', freeze: pause, thaw: unpause },
    { name: 'redis-cli BGSAVE, waited for', freeze: script, thaw: async () => undefined },
  ];
}

async function tryOnce(bed: Bed, treatment: Treatment, copy: string | null): Promise<Outcome> {
  const { policy, load, volume } = bed;
  await sleep(SETTLE_MS);
  const begun = performance.now();
  await treatment.freeze();
  const frozen = performance.now();
  const acked = [...load.acked];
  const made = copy === null ? null : await volume.snapshot(copy);
  const released = performance.now();
  await treatment.thaw();
  const thawed = performance.now();
  await sleep(SETTLE_MS);
  const { max } = load.latencies.touching({ from: begun, to: thawed });
  return {
    policy,
    treatment: treatment.name,
    stallMs: max,
    freezeMs: frozen - begun,
    thawMs: thawed - released,
    loss: made && (await lossIn(bed, made.path, acked)),
  };
}

async function lossIn(bed: Bed, copy: string, acked: readonly number[]): Promise<Loss> {
  const dir = join(copy, 'data');
  await mkdir(dir, { recursive: true });
  const { binary, config } = bed;
  const restored = await RedisServer.start({ binary, dir, config }).catch(() => null);
  if (!restored) return { missing: acked.reduce((sum, count) => sum + count, 0), starts: false };
  try {
    return { missing: await missingOn(restored, acked), starts: true };
  } finally {
    await restored.kill();
  }
}

/** Trials that make no copy tell the stall of freeze and thaw alone; the others tell the loss. */
async function runBed(bed: Bed, rounds: number, copies: number): Promise<Outcome[]> {
  const outcomes: Outcome[] = [];
  for (let round = 0; round < rounds + copies; round += 1) {
    for (const [i] of bed.treatments.entries()) {
      // In another order each round, so that none always follows the same other.
      const treatment = bed.treatments[(i + round) % bed.treatments.length];
      const copy = round < rounds ? null : `cut-${round}-${i}`;
      if (treatment) outcomes.push(await tryOnce(bed, treatment, copy));
    }
  }
  await bed.load.stop();
  if (bed.load.errors.length > 0) throw new Error(`a writer failed: ${bed.load.errors[0]}`);
  return outcomes;
}

async function run(args: Arguments, workspace: Workspace): Promise<Report> {
  const [rounds, copies] = [args.number('rounds'), args.number('copies')];
  const parts: { bed: Bed; outcomes: Outcome[] }[] = [];
  for (const policy of ['AOF everysec', 'RDB only'] as const) {
    progress(`redis: ${policy}`);
    const bed = await makeBed(workspace, policy, args);
    parts.push({ bed, outcomes: await runBed(bed, rounds, copies) });
  }
  const { kind, reason } = parts[0]?.bed.volume ?? { kind: 'block', reason: undefined };
  const version = (await tool(args.text('server'), '--version')).split(' ').slice(0, 3).join(' ');
  const stalls = parts.map(({ bed, outcomes }) => stallsOf(bed, outcomes));
  return {
    title: 'Redis: against hooks by hand',
    method: `${version}, ${args.text('clients')} writers with pauses of ${args.text('think')} ms. Milliseconds, medians of ${rounds} freezes and thaws with nothing between them; the stall is the longest that a write waited. Missing: acknowledged before the copy was begun and not in it, in ${copies} further trials that copy the ${kind === 'block' ? 'block device, without the page cache' : 'folder'}.`,
    tables: parts.map(({ bed, outcomes }) => tableOf(bed, outcomes)),
    goals: stalls.map(({ what, measured }) => ({ what, measured, limit: 1.2 })),
    charts: [],
    notes: [
      'quiesce is called over its HTTP API and the others over an open connection (BGSAVE through redis-cli): the start of programs is not counted.',
      'With a copy, writers wait for the copy, too: that is the hold a backup has. Without one the stall is what the freeze itself costs, with its journal and its receipt on the disk.',
      'By hand nothing is proven: neither that the fsync happened, nor that no write went in, nor that the pause did not end early.',
      ...(reason === undefined
        ? []
        : [`No block device here, so copies hold the page cache: ${reason}`]),
    ],
  };
}

const stallOf = (outcomes: readonly Outcome[], name: string | undefined): number =>
  median(
    outcomes
      .filter(({ treatment, loss }) => treatment === name && loss === null)
      .map(({ stallMs }) => stallMs),
  );

function stallsOf({ policy, treatments }: Bed, outcomes: readonly Outcome[]) {
  const hand = treatments[1]?.name;
  const measured = stallOf(outcomes, 'quiesce') / stallOf(outcomes, hand);
  return { what: `${policy}: writers’ stall over that of ${hand}`, measured };
}

function tableOf({ policy, treatments }: Bed, outcomes: readonly Outcome[]): Table {
  const hand = stallOf(outcomes, treatments[1]?.name);
  return {
    title: policy,
    head: [
      'treatment',
      'stall',
      '/ by hand',
      'with a copy',
      'freeze',
      'thaw',
      'missing',
      'in copies',
      'do not start',
    ],
    rows: treatments.map(({ name }) => {
      const own = outcomes.filter(({ treatment }) => treatment === name);
      const still = own.filter(({ loss }) => loss === null);
      const losses = own.flatMap(({ loss }) => (loss === null ? [] : [loss]));
      const stall = stallOf(outcomes, name);
      return [
        name,
        figure(stall),
        times(stall / hand),
        figure(median(own.flatMap(({ loss, stallMs }) => (loss ? [stallMs] : [])))),
        figure(median(still.map(({ freezeMs }) => freezeMs))),
        figure(median(still.map(({ thawMs }) => thawMs))),
        String(losses.reduce((sum, { missing }) => sum + missing, 0)),
        `${losses.filter(({ missing }) => missing > 0).length} of ${losses.length}`,
        String(losses.filter(({ starts }) => !starts).length),
      ];
    }),
  };
}

await program(benchmark);
