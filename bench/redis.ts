import { mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { type BlockVolume, makeBlockVolume } from '../src/testbed/volume/block-volume.ts';
import { tool } from '../src/testbed/os.ts';
import { startSidecarIn } from '../src/testbed/processes.ts';
import { missingOn, RedisLoad } from '../src/testbed/redis/load.ts';
import { RedisServer } from '../src/testbed/redis/server.ts';
import type { Workspace } from '../src/testbed/workspace.ts';
import { type Arguments, type Benchmark, program, progress } from './support/program.ts';
import { engineAlone, lossyAt, type Pair, pairsAt } from './support/redis-treatments.ts';
import { figure, type Goal, type Report, type Table, times } from './support/report.ts';
import { median } from './support/stats.ts';
import type { Treatment } from './support/trial.ts';

const benchmark: Benchmark = {
  name: 'redis',
  summary:
    'How long writers of Redis wait for a freeze, and which writes a block-level copy made during it lacks:\nquiesce against a pause and an fsync by hand, against CLIENT PAUSE alone, and against a completed BGSAVE.',
  settings: {
    server: { help: 'a name on PATH, or a path', value: 'redis-server' },
    rounds: { help: 'trials of each treatment with each hold', value: 8, quick: 2 },
    copies: { help: 'further trials of each treatment that make a copy', value: 3, quick: 1 },
    hold: { help: 'the longer of two holds, in ms; the other is 0', value: 1_000 },
    clients: { help: 'writers', value: 8 },
    think: { help: 'mean pause of a writer between writes, in ms', value: 2 },
  },
  run,
};

const POLICIES = {
  'AOF everysec': ['appendonly yes', 'appendfsync everysec', 'save ""'],
  'RDB only': ['appendonly no', 'save 3600 1'],
} as const;

const PAUSE_BETWEEN_MS = 300;
/** Rounds that do not count: the first run of anything is slow. */
const WARM_UP_ROUNDS = 1;
/** The most that a writer's stall may be, as a multiple of the stall of the same steps by hand. */
const LIMIT = 1.2;

/** One server on a block device, its writers, and the ways to freeze it. */
interface Rig {
  readonly policy: string;
  readonly config: readonly string[];
  readonly binary: string;
  readonly volume: BlockVolume;
  readonly load: RedisLoad;
  readonly pairs: readonly Pair[];
  readonly treatments: readonly Treatment[];
}

interface Loss {
  /** Writes acknowledged before the copy began that are not in it. */
  readonly missing: number;
  /** A server whose AOF ends damaged refuses to start: then all writes are missing. */
  readonly starts: boolean;
}

interface Outcome {
  readonly policy: string;
  readonly treatment: string;
  /** The pause between freeze and thaw; `null`: the time of a copy. */
  readonly holdMs: number | null;
  /** The longest wait of a write, in milliseconds. */
  readonly stallMs: number;
  /** The part of that which freeze and thaw cost: without the time between them. */
  readonly beyondMs: number;
  readonly freezeMs: number;
  readonly thawMs: number;
  readonly loss: Loss | null;
}

async function makeRig(
  workspace: Workspace,
  policy: keyof typeof POLICIES,
  args: Arguments,
): Promise<Rig> {
  const [config, binary] = [POLICIES[policy], args.text('server')];
  const name = policy.replaceAll(/\W/g, '');
  let server: RedisServer | undefined;
  const volume = await makeBlockVolume(workspace.dir, { name, postmaster: () => server?.pid });
  await workspace.defer(() => volume.dispose());
  const started = await RedisServer.start({ binary, dir: join(volume.path, 'data'), config });
  server = started;
  await workspace.defer(() => started.kill());
  const sidecar = await startSidecarIn(workspace, `sc-${name}`, {
    engine: 'redis',
    dataDir: volume.path,
    app: 'bench',
    connection: { REDIS_HOST: '127.0.0.1', REDIS_PORT: String(started.port) },
  });
  await sidecar.ready();
  const load = new RedisLoad(started, args.number('clients'), { thinkMs: args.number('think') });
  await workspace.defer(() => load.stop());
  load.start();
  const place = {
    server: started,
    sidecar,
    dataDir: volume.path,
    durability: policy === 'RDB only' ? ('save' as const) : ('fsync' as const),
  };
  const pairs = pairsAt(place);
  const treatments = [
    ...pairs.flatMap(({ quiesce, byHand }) => [quiesce, byHand]),
    engineAlone(place),
    ...lossyAt(place),
  ];
  return { policy, config, binary, volume, load, pairs, treatments };
}

/** @param hold the time between freeze and thaw in milliseconds, or the name of a copy to make then. */
async function tryOnce(rig: Rig, treatment: Treatment, hold: number | string): Promise<Outcome> {
  const { policy, load, volume } = rig;
  await sleep(PAUSE_BETWEEN_MS);
  const begun = performance.now();
  await treatment.freeze();
  const frozen = performance.now();
  const acked = [...load.acked];
  const made = typeof hold === 'string' ? await volume.snapshot(hold) : null;
  if (typeof hold === 'number' && hold > 0) await sleep(hold);
  const released = performance.now();
  await treatment.thaw();
  const thawed = performance.now();
  await sleep(PAUSE_BETWEEN_MS);
  const { max } = load.latencies.touching({ from: begun, to: thawed });
  return {
    policy,
    treatment: treatment.name,
    holdMs: typeof hold === 'number' ? hold : null,
    stallMs: max,
    // A treatment that does not hold writers has a stall shorter than its hold.
    beyondMs: Math.max(0, max - (released - frozen)),
    freezeMs: frozen - begun,
    thawMs: thawed - released,
    loss: made && (await lossIn(rig, made.path, acked)),
  };
}

async function lossIn(rig: Rig, copy: string, acked: readonly number[]): Promise<Loss> {
  const dir = join(copy, 'data');
  await mkdir(dir, { recursive: true });
  const { binary, config } = rig;
  const restored = await RedisServer.start({ binary, dir, config }).catch(() => null);
  if (!restored) return { missing: acked.reduce((sum, count) => sum + count, 0), starts: false };
  try {
    return { missing: await missingOn(restored, acked), starts: true };
  } finally {
    await restored.kill();
  }
}

/**
 * Runs each hold and each treatment in turn. The order changes each round, so that no treatment always
 * follows the same other one.
 */
async function runRig(rig: Rig, args: Arguments): Promise<Outcome[]> {
  const [rounds, copies] = [args.number('rounds') + WARM_UP_ROUNDS, args.number('copies')];
  const outcomes: Outcome[] = [];
  const round = async (at: number, holdOf: (i: number) => number | string): Promise<void> => {
    for (const [i] of rig.treatments.entries()) {
      const treatment = rig.treatments[(i + at) % rig.treatments.length];
      if (!treatment) continue;
      const outcome = await tryOnce(rig, treatment, holdOf(i));
      if (at >= WARM_UP_ROUNDS) outcomes.push(outcome);
    }
  };
  for (let at = 0; at < rounds; at += 1) {
    for (const hold of [0, args.number('hold')]) await round(at, () => hold);
    progress(`  round ${at + 1}/${rounds}`);
  }
  for (let at = 0; at < copies; at += 1) {
    await round(at + rounds, (i) => `cut-${at}-${i}`);
  }
  await rig.load.stop();
  if (rig.load.errors.length > 0) throw new Error(`a writer failed: ${rig.load.errors[0]}`);
  return outcomes;
}

async function run(args: Arguments, workspace: Workspace): Promise<Report> {
  const parts: { rig: Rig; outcomes: Outcome[] }[] = [];
  for (const policy of ['AOF everysec', 'RDB only'] as const) {
    progress(`redis: ${policy}`);
    const rig = await makeRig(workspace, policy, args);
    parts.push({ rig, outcomes: await runRig(rig, args) });
  }
  const { kind, reason } = parts[0]?.rig.volume ?? { kind: 'block', reason: undefined };
  const version = (await tool(args.text('server'), '--version')).split(' ').slice(0, 3).join(' ');
  const copy = kind === 'block' ? 'block device, without the page cache' : 'folder';
  const hold = args.number('hold');
  return {
    title: 'Redis: against hooks by hand',
    method: `${version}, ${args.text('clients')} writers with pauses of ${args.text('think')} ms. Milliseconds, medians of ${args.text('rounds')} freezes and thaws with 0 and with ${hold} ms between them. The stall is the longest wait of a write; beyond is the stall without the time between freeze and thaw. Missing: writes acknowledged before the copy began that are not in it, in ${args.text('copies')} further trials that copy the ${copy}.`,
    tables: parts.map(({ rig, outcomes }) => tableOf(rig, outcomes, hold)),
    goals: parts.flatMap(({ rig, outcomes }) => goalsOf(rig, outcomes, hold)),
    charts: [],
    notes: [
      'Over an open connection, quiesce is called on its Unix socket, and the server by a client that stays connected. As hooks, both are programs that start for each freeze and each thaw; the start of the thaw’s program is part of the stall.',
      'Apart from the hold, quiesce writes its journal and its receipt to the disk and removes the receipt again, each step durable before the next. Its engine alone does neither.',
      'The steps by hand prove nothing: not that the fsync happened, not that no write got in, and not that the pause lasted long enough.',
      ...(reason === undefined
        ? []
        : [`No block device here, so copies include the page cache: ${reason}`]),
    ],
  };
}

const middle = (
  outcomes: readonly Outcome[],
  name: string,
  holdMs: number | null,
  what: 'stallMs' | 'beyondMs' | 'freezeMs' | 'thawMs',
): number =>
  median(
    outcomes
      .filter((one) => one.treatment === name && one.holdMs === holdMs)
      .map((one) => one[what]),
  );

function goalsOf({ policy, pairs }: Rig, outcomes: readonly Outcome[], hold: number): Goal[] {
  return pairs.flatMap(({ quiesce, byHand }) =>
    [0, hold].map((holdMs) => {
      const [own, hand] = [quiesce, byHand].map(({ name }) =>
        middle(outcomes, name, holdMs, 'stallMs'),
      );
      return {
        what: `${policy}, held for ${holdMs} ms: writers’ stall of ${quiesce.name} over that of ${byHand.name}`,
        measured: (own ?? 0) / (hand ?? 0),
        limit: LIMIT,
      };
    }),
  );
}

function tableOf(
  { policy, pairs, treatments }: Rig,
  outcomes: readonly Outcome[],
  hold: number,
): Table {
  return {
    title: policy,
    head: [
      'treatment',
      'stall, held 0',
      '/ by hand',
      `stall, held ${hold}`,
      'beyond',
      '/ by hand',
      'freeze',
      'thaw',
      'missing',
      'in copies',
      'do not start',
    ],
    rows: treatments.map(({ name }) => {
      const losses = outcomes.flatMap(({ treatment, loss }) =>
        loss === null || treatment !== name ? [] : [loss],
      );
      const hand =
        pairs.find(({ quiesce, byHand }) => quiesce.name === name || byHand.name === name) ??
        pairs[0];
      const over = (holdMs: number): string => {
        const theirs = middle(outcomes, hand?.byHand.name ?? '', holdMs, 'stallMs');
        return times(middle(outcomes, name, holdMs, 'stallMs') / theirs);
      };
      return [
        name,
        figure(middle(outcomes, name, 0, 'stallMs')),
        over(0),
        figure(middle(outcomes, name, hold, 'stallMs')),
        figure(middle(outcomes, name, hold, 'beyondMs')),
        over(hold),
        figure(middle(outcomes, name, 0, 'freezeMs')),
        figure(middle(outcomes, name, 0, 'thawMs')),
        String(losses.reduce((sum, { missing }) => sum + missing, 0)),
        `${losses.filter(({ missing }) => missing > 0).length} of ${losses.length}`,
        String(losses.filter(({ starts }) => !starts).length),
      ];
    }),
  };
}

await program(benchmark);
