import type { Workspace } from '../src/testbed/workspace.ts';
import { type Rig, makeRig, makeLoad, quiesce } from './support/rig.ts';
import { groupsOf, stallChart, tableOf } from './support/compare.ts';
import { type Arguments, type Benchmark, program, progress } from './support/program.ts';
import { psql, PsqlSession } from './support/psql.ts';
import type { Report } from './support/report.ts';
import { runTrials, type Treatment } from './support/trial.ts';

const benchmark: Benchmark = {
  name: 'hooks',
  summary:
    'Freeze and thaw against a backup started and stopped by hand in one psql session, against a hook that\nlocks all tables IN SHARE MODE, and against psql -c CHECKPOINT: their durations and the effect on writers.',
  settings: {
    rounds: { help: 'trials of each hook', value: 4, quick: 1 },
    hold: { help: 'seconds between freeze and thaw', value: 3, quick: 1 },
    clients: { help: 'writers', value: 8 },
    think: { help: 'mean pause of a writer between transactions, in ms', value: 5 },
  },
  run,
};

/** A backup started and stopped by hand, in one session as PostgreSQL requires. */
function byHand(rig: Rig, postgres: number): Treatment {
  const [start, stop] =
    postgres >= 15
      ? [`SELECT pg_backup_start('by hand', true);`, 'SELECT * FROM pg_backup_stop(false);']
      : [
          `SELECT pg_start_backup('by hand', true, false);`,
          'SELECT * FROM pg_stop_backup(false, false);',
        ];
  return inSession(rig, 'psql: start … stop', start, stop);
}

const LOCK_ALL = `BEGIN;
DO $$ DECLARE t regclass; BEGIN
  FOR t IN SELECT oid FROM pg_class WHERE relkind = 'r' AND relnamespace = 'bank'::regnamespace ORDER BY relname
  LOOP EXECUTE format('LOCK TABLE %s IN SHARE MODE', t); END LOOP;
END $$;
CHECKPOINT;`;

function inSession(rig: Rig, name: string, freeze: string, thaw: string): Treatment {
  let session: PsqlSession | undefined;
  return {
    name,
    freeze: async () => {
      session = new PsqlSession(rig.target);
      await session.run(freeze);
    },
    thaw: async () => {
      await session?.run(thaw);
      await session?.end();
    },
  };
}

async function run(args: Arguments, workspace: Workspace): Promise<Report> {
  const [clients, thinkMs] = [args.number('clients'), args.number('think')];
  const tables = makeLoad(workspace, { clients, thinkMs });
  progress('hooks');
  const rig = await makeRig(workspace, { postgres: args.postgres }, tables.fill);
  const load = await tables.start();
  const treatments: Treatment[] = [
    { name: 'quiesce', freeze: () => quiesce(rig, 'freeze'), thaw: () => quiesce(rig, 'thaw') },
    byHand(rig, args.postgres),
    inSession(rig, 'LOCK … IN SHARE MODE', LOCK_ALL, 'COMMIT;'),
    {
      name: 'psql -c CHECKPOINT',
      freeze: () => psql(rig.target, 'CHECKPOINT'),
      thaw: async () => undefined,
    },
  ];
  const [holdMs, rounds] = [args.number('hold') * 1_000, args.number('rounds')];
  const trials = await runTrials(load, treatments, { rounds, holdMs });
  const groups = groupsOf(treatments, trials);
  return {
    title: 'Against hooks by hand',
    method: `PostgreSQL ${args.postgres}, ${clients} writers with pauses of ${thinkMs} ms, ${rounds} rounds of each hook, hold ${args.text('hold')} s. Milliseconds; freeze and thaw are medians; the stall is the longest time without a commit. Ratios are against quiesce.`,
    tables: [tableOf(groups)],
    goals: [],
    charts: [stallChart('Longest time without any commit, from freeze to thaw', groups)],
    notes: [
      'The hooks by hand prove nothing, do not expire and keep no label. The lock does not freeze the files either: the server continues to write them.',
    ],
  };
}

await program(benchmark);
