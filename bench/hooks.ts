import type { Workspace } from '../src/testbed/workspace.ts';
import { type Bed, makeBed, makeLoad, quiesce } from './support/bed.ts';
import { groupsOf, stallChart, tableOf } from './support/compare.ts';
import { type Arguments, type Benchmark, program, progress } from './support/program.ts';
import { psql, PsqlSession } from './support/psql.ts';
import type { Report } from './support/report.ts';
import { runTrials, type Treatment } from './support/trial.ts';

const benchmark: Benchmark = {
  name: 'hooks',
  summary:
    'Freeze and thaw against the same done by hand in one session of psql, against a hook that locks\nall tables IN SHARE MODE, and against psql -c CHECKPOINT: how long they take, what writers feel.',
  settings: {
    rounds: { help: 'trials of each hook', value: 4, quick: 1 },
    hold: { help: 'seconds between freeze and thaw', value: 3, quick: 1 },
    clients: { help: 'writers', value: 8 },
    think: { help: 'mean pause of a writer between transactions, in ms', value: 5 },
  },
  run,
};

/** A backup begun and ended by hand, in the one session that both must be in. */
function byHand(bed: Bed, postgres: number): Treatment {
  const [start, stop] =
    postgres >= 15
      ? [`SELECT pg_backup_start('by hand', true);`, 'SELECT * FROM pg_backup_stop(false);']
      : [
          `SELECT pg_start_backup('by hand', true, false);`,
          'SELECT * FROM pg_stop_backup(false, false);',
        ];
  return inSession(bed, 'psql: start … stop', start, stop);
}

const LOCK_ALL = `BEGIN;
DO $$ DECLARE t regclass; BEGIN
  FOR t IN SELECT oid FROM pg_class WHERE relkind = 'r' AND relnamespace = 'bank'::regnamespace ORDER BY relname
  LOOP EXECUTE format('LOCK TABLE %s IN SHARE MODE', t); END LOOP;
END $$;
CHECKPOINT;`;

function inSession(bed: Bed, name: string, freeze: string, thaw: string): Treatment {
  let session: PsqlSession | undefined;
  return {
    name,
    freeze: async () => {
      session = new PsqlSession(bed.target);
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
  const making = makeLoad(workspace, { clients, thinkMs });
  progress('hooks');
  const bed = await makeBed(workspace, { postgres: args.postgres }, making.fill);
  const load = await making.start();
  const treatments: Treatment[] = [
    { name: 'quiesce', freeze: () => quiesce(bed, 'freeze'), thaw: () => quiesce(bed, 'thaw') },
    byHand(bed, args.postgres),
    inSession(bed, 'LOCK … IN SHARE MODE', LOCK_ALL, 'COMMIT;'),
    {
      name: 'psql -c CHECKPOINT',
      freeze: () => psql(bed.target, 'CHECKPOINT'),
      thaw: async () => undefined,
    },
  ];
  const [holdMs, rounds] = [args.number('hold') * 1_000, args.number('rounds')];
  const trials = await runTrials(load, treatments, { rounds, holdMs });
  const groups = groupsOf(treatments, trials);
  return {
    title: 'Against hooks by hand',
    method: `PostgreSQL ${args.postgres}, ${clients} writers with pauses of ${thinkMs} ms, ${rounds} rounds of each hook, hold ${args.text('hold')} s. Milliseconds; medians of freeze and thaw; the stall is the longest time without any commit. Ratios against quiesce.`,
    tables: [tableOf(groups)],
    goals: [],
    charts: [stallChart('Longest time without any commit, from freeze to thaw', groups)],
    notes: [
      'By hand nothing is proven, nothing ends by itself and no label is kept; the lock is not a freeze of the files either, for the server goes on writing them.',
    ],
  };
}

await program(benchmark);
