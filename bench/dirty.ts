import type { Client } from 'pg';
import { tool } from '../src/testbed/os.ts';
import { DATABASE, withClient } from '../src/demo/source.ts';
import type { Workspace } from '../src/testbed/workspace.ts';
import { type Rig, makeRig, quiesce } from './support/rig.ts';
import { type Arguments, type Benchmark, program, progress } from './support/program.ts';
import { psql } from './support/psql.ts';
import { figure, type Report, times } from './support/report.ts';
import { median } from './support/stats.ts';

const PAGES_A_MB = 128;
const MIN_SHARED_BUFFERS_MB = 256;

const benchmark: Benchmark = {
  name: 'dirty',
  summary:
    'The time of a freeze by the amount of data that the server has not yet written, against\npsql -c CHECKPOINT with the same amount.',
  settings: {
    sizes: { help: 'dirty data in MB', value: '10,30,100,300,1000', quick: '10,50' },
    rounds: { help: 'freezes and checkpoints of each size', value: 3, quick: 1 },
  },
  run,
};

/** One row per page, so that updating n rows dirties n pages. */
const FILL = (pages: number): string => `
  CREATE EXTENSION IF NOT EXISTS pg_buffercache;
  CREATE TABLE pages (id int PRIMARY KEY, n int NOT NULL, payload text NOT NULL) WITH (fillfactor = 45);
  ALTER TABLE pages ALTER COLUMN payload SET STORAGE PLAIN;
  INSERT INTO pages SELECT id, 0, repeat(md5(id::text), 105) FROM generate_series(1, ${pages}) id;
  VACUUM (FREEZE, ANALYZE) pages;`;

interface Sample {
  readonly mb: number;
  readonly freezeMs: number;
  readonly checkpointMs: number;
}

/** Dirties `mb` MB of pages. @returns how many MB are dirty according to pg_buffercache. */
async function dirty(client: Client, mb: number): Promise<number> {
  // Through the index: a sequential scan of a large table writes pages out as it goes.
  await client.query('SET enable_seqscan = off; SET enable_bitmapscan = off');
  await client.query('UPDATE pages SET n = n + 1 WHERE id <= $1', [mb * PAGES_A_MB]);
  const { rows } = await client.query<{ mb: number }>(
    `SELECT count(*) / ${PAGES_A_MB}::float AS mb FROM pg_buffercache WHERE isdirty`,
  );
  return rows[0]?.mb ?? 0;
}

async function timed(work: () => Promise<void>): Promise<number> {
  const begun = performance.now();
  await work();
  return performance.now() - begun;
}

async function sample(rig: Rig, client: Client, mb: number): Promise<Sample> {
  const makeDirty = async (): Promise<number> => {
    const found = await dirty(client, mb);
    // The WAL of the updates must not count in the measurement.
    await tool('sync', '-f', rig.volume).catch(() => undefined);
    return found;
  };
  const first = await makeDirty();
  const freezeMs = await timed(() => quiesce(rig, 'freeze'));
  await quiesce(rig, 'thaw');
  const second = await makeDirty();
  const checkpointMs = await timed(() => psql(rig.target, 'CHECKPOINT'));
  return { mb: (first + second) / 2, freezeMs, checkpointMs };
}

async function run(args: Arguments, workspace: Workspace): Promise<Report> {
  progress('dirty');
  const sizes = args.text('sizes').split(',').map(Number);
  const most = Math.max(...sizes);
  const buffers = Math.max(MIN_SHARED_BUFFERS_MB, Math.ceil(most * 1.4));
  const rig = await makeRig(workspace, {
    postgres: args.postgres,
    // Only the freeze and the checkpoint may write pages out.
    serverSettings: {
      shared_buffers: `${buffers}MB`,
      max_wal_size: '32GB',
      checkpoint_timeout: '1h',
      bgwriter_lru_maxpages: '0',
      autovacuum: 'off',
    },
  });
  const results = await withClient(rig.target, DATABASE, async (client) => {
    for (const statement of FILL(most * PAGES_A_MB).split(';')) {
      if (statement.trim() !== '') await client.query(statement);
    }
    await client.query('CHECKPOINT');
    await tool('sync', '-f', rig.volume).catch(() => undefined);
    const found: { readonly size: number; readonly samples: Sample[] }[] = [];
    for (const size of sizes) {
      const samples: Sample[] = [];
      for (let round = 0; round < args.number('rounds'); round += 1) {
        samples.push(await sample(rig, client, size));
      }
      progress(`  ${size} MB: ${samples.map((one) => figure(one.freezeMs)).join(', ')} ms`);
      found.push({ size, samples });
    }
    return found;
  });
  return report(args, results);
}

function report(
  args: Arguments,
  results: readonly { readonly size: number; readonly samples: readonly Sample[] }[],
): Report {
  const of = (samples: readonly Sample[], what: keyof Sample): number =>
    median(samples.map((one) => one[what]));
  const spread = (samples: readonly Sample[], what: keyof Sample): string => {
    const all = samples.map((one) => one[what]);
    return `${figure(Math.min(...all))} … ${figure(Math.max(...all))}`;
  };
  return {
    title: 'Freeze time by dirty data',
    method: `PostgreSQL ${args.postgres}, medians of ${args.text('rounds')}; the dirty data is counted by pg_buffercache just before. Milliseconds, including the start of the command.`,
    tables: [
      {
        head: [
          'asked',
          'dirty MB',
          'freeze',
          'lowest … highest',
          'CHECKPOINT',
          'lowest … highest',
          'freeze / CHECKPOINT',
        ],
        rows: results.map(({ size, samples }) => [
          `${size} MB`,
          figure(of(samples, 'mb')),
          figure(of(samples, 'freezeMs')),
          spread(samples, 'freezeMs'),
          figure(of(samples, 'checkpointMs')),
          spread(samples, 'checkpointMs'),
          times(of(samples, 'freezeMs') / of(samples, 'checkpointMs')),
        ]),
      },
    ],
    goals: [],
    charts: [
      {
        kind: 'lines',
        title: 'Freeze by dirty data',
        x: 'MB dirty',
        y: 'ms',
        log: true,
        series: [
          {
            label: 'quiesce freeze',
            points: results.map(({ samples }) => [of(samples, 'mb'), of(samples, 'freezeMs')]),
          },
          {
            label: 'psql -c CHECKPOINT',
            points: results.map(({ samples }) => [of(samples, 'mb'), of(samples, 'checkpointMs')]),
          },
        ],
      },
    ],
    notes: [],
  };
}

await program(benchmark);
