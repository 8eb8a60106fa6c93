import { mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import type { Workspace } from '../src/testbed/workspace.ts';
import { MongoLoad } from '../test/support/mongo-load.ts';
import { type Mongod, mongoEnv, ROOT, startStandalone } from '../test/support/mongod.ts';
import { TestSidecar } from '../test/support/sidecar.ts';
import { groupsOf, stallChart, tableOf } from './support/compare.ts';
import { type Arguments, type Benchmark, program, progress } from './support/program.ts';
import type { Report } from './support/report.ts';
import { runTrials, type Treatment } from './support/trial.ts';

const benchmark: Benchmark = {
  name: 'mongodb',
  summary:
    'Freeze and thaw of MongoDB against fsyncLock and fsyncUnlock by hand, over an open connection, and\nagainst nothing: their durations and how long writers wait.',
  settings: {
    rounds: { help: 'trials of each', value: 4, quick: 1 },
    hold: { help: 'seconds between freeze and thaw', value: 3, quick: 1 },
    clients: { help: 'writers', value: 8 },
    think: { help: 'pause of a writer between two writes, in ms', value: 5 },
  },
  run,
};

/** @throws when the command fails: only successful calls are measured. */
async function call(sidecar: TestSidecar, ...args: string[]): Promise<void> {
  const { code, stderr } = await sidecar.cli(...args);
  if (code !== 0) throw new Error(`quiesce ${args[0]} exited ${code}: ${stderr}`);
}

function treatmentsOn(server: Mongod, sidecar: TestSidecar): Treatment[] {
  const nothing = async (): Promise<void> => undefined;
  return [
    {
      name: 'quiesce',
      freeze: () => call(sidecar, 'freeze', '--timeout', '2m'),
      thaw: () => call(sidecar, 'thaw'),
    },
    {
      name: 'fsyncLock … fsyncUnlock',
      freeze: async () => void (await server.admin({ fsync: 1, lock: true })),
      thaw: async () => void (await server.admin({ fsyncUnlock: 1 })),
    },
    { name: 'nothing', freeze: nothing, thaw: nothing },
  ];
}

async function run(args: Arguments, workspace: Workspace): Promise<Report> {
  const [clients, thinkMs] = [args.number('clients'), args.number('think')];
  progress('mongodb');
  const volume = join(workspace.dir, 'volume');
  const server = await startStandalone(join(volume, 'db'));
  await workspace.defer(() => server.stop());
  await workspace.record(server.pid);
  const own = join(workspace.dir, 'sc');
  await mkdir(own, { mode: 0o700 });
  const sidecar = await new TestSidecar(own, mongoEnv(server, volume)).start();
  await workspace.defer(() => sidecar.stop());
  const load = new MongoLoad(server.client({ auth: ROOT }), clients, thinkMs).start();
  await workspace.defer(() => load.stop());
  const treatments = treatmentsOn(server, sidecar);
  const [holdMs, rounds] = [args.number('hold') * 1_000, args.number('rounds')];
  const groups = groupsOf(treatments, await runTrials(load, treatments, { rounds, holdMs }));
  const version = String((await server.ask({ buildInfo: 1 }))['version']);
  return {
    title: 'MongoDB against its lock by hand',
    method: `MongoDB ${version} alone, ${clients} writers (w: majority, j: true) with pauses of ${thinkMs} ms, ${rounds} rounds of each, hold ${args.text('hold')} s. Milliseconds; freeze and thaw are medians; the stall, which includes the hold, is the longest time without a commit. Ratios are against quiesce.`,
    tables: [tableOf(groups)],
    goals: [],
    charts: [stallChart('MongoDB: longest time without any commit, from freeze to thaw', groups)],
    notes: [
      'By hand, the commands use an open connection, which a hook does not have. The lock by hand proves nothing, does not expire, and has no known owner.',
    ],
  };
}

await program(benchmark);
