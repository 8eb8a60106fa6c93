import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { Client } from 'pg';
import { readControlFile } from '../src/engines/postgres/data-dir/control-file.ts';
import { inspectCopy } from '../src/engines/postgres/restore/damage/inspect.ts';
import { RecoveryWindow } from '../src/engines/postgres/wal/window.ts';
import { Written } from '../src/engines/postgres/wal/written.ts';
import { tool } from '../src/testbed/os.ts';
import { EmbeddedPostgres, freePort } from '../src/testbed/postgres/server.ts';
import type { Workspace } from '../src/testbed/workspace.ts';
import { type Arguments, type Benchmark, program } from './support/program.ts';
import { figure, type Report, times } from './support/report.ts';
import { median } from './support/stats.ts';

/** Debian 12 has it; the data must be of the same major version. */
const MAJOR = 15;
const PG_CHECKSUMS = `/usr/lib/postgresql/${MAJOR}/bin/pg_checksums`;

const benchmark: Benchmark = {
  name: 'restore-scan',
  summary: 'The time in which prepare-restore looks at all pages, against pg_checksums --check.',
  settings: {
    size: { help: 'data in MB', value: 1024, quick: 32 },
    rounds: { help: 'looks of each kind', value: 3, quick: 1 },
  },
  run,
};

async function makeData(workspace: Workspace, mb: number): Promise<string> {
  const folder = workspace.dir;
  const server = await EmbeddedPostgres.at({
    major: MAJOR,
    dataDir: join(folder, 'data'),
    port: await freePort(),
    socketDir: join(folder, 's'),
    initdbArgs: ['--data-checksums'],
    settings: { fsync: 'off', max_wal_size: '4GB' },
  });
  await server.own(folder);
  await server.initdb();
  await server.start();
  const client = new Client(server.superuser());
  await client.connect();
  // About 300 bytes a row; the index makes a tenth of it.
  await client.query('CREATE TABLE t(a int PRIMARY KEY, pad text)');
  await client.query(
    `INSERT INTO t SELECT i, repeat(md5(i::text), 8) FROM generate_series(1, ${mb * 3_000}) i`,
  );
  await client.query('VACUUM t');
  await client.end();
  await server.stop('fast');
  return join(folder, 'data');
}

async function timed(work: () => Promise<unknown>): Promise<number> {
  const begun = performance.now();
  await work();
  return performance.now() - begun;
}

async function run(args: Arguments, workspace: Workspace): Promise<Report> {
  const pgdata = await makeData(workspace, args.number('size'));
  const control = await readControlFile(pgdata);
  const window = new RecoveryWindow(Number(control.redoLsn), MAJOR);
  const { blockSize } = control;
  const request = {
    pgdata,
    major: MAJOR,
    control,
    window,
    written: new Written({ from: 0, redo: 0, major: MAJOR, blockSize }),
    walEnd: Infinity,
    walEnded: '',
    limitMs: null,
  };
  const own: number[] = [];
  const theirs: number[] = [];
  let pages = 0;
  for (let round = 0; round < args.number('rounds'); round += 1) {
    own.push(
      await timed(async () => {
        pages = (await inspectCopy(request, new AbortController().signal)).pages.looked;
      }),
    );
    if (existsSync(PG_CHECKSUMS)) {
      theirs.push(await timed(() => tool(PG_CHECKSUMS, '--check', '-D', pgdata)));
    }
  }
  const mb = (pages * control.blockSize) / 2 ** 20;
  const speed = (ms: readonly number[]): string =>
    ms.length === 0 ? '-' : figure(mb / (median(ms) / 1_000));
  return {
    title: 'Looking at the pages of a copy',
    method: `PostgreSQL ${MAJOR} with data checksums, ${figure(mb)} MB in the page cache, medians of ${args.text('rounds')}.`,
    tables: [
      {
        head: ['', 'MB/s', 'time / pg_checksums'],
        rows: [
          [
            'prepare-restore --scan full',
            speed(own),
            theirs.length === 0 ? '-' : times(median(own) / median(theirs)),
          ],
          ['pg_checksums --check', speed(theirs), ''],
        ],
      },
    ],
    charts: [],
    notes: [],
    goals: [],
  };
}

await program(benchmark);
