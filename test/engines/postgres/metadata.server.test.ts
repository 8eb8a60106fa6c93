import { cp, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { EmbeddedPostgres, freePort } from '../../../src/testbed/postgres/server.ts';
import { readCopyMetadata } from '../../../src/engines/postgres/metadata/copy-metadata.ts';
import { differencesOf } from '../../../src/engines/postgres/metadata/differences.ts';
import { readMetadata } from '../../../src/engines/postgres/metadata/metadata.ts';
import { Session } from '../../../src/engines/postgres/connection/session.ts';
import { parseSettings } from '../../../src/engines/postgres/connection/settings.ts';
import { redact } from '../../../src/engines/postgres/metadata/settings-report.ts';
import { MAJORS, startServer, type TestServer } from '../../support/postgres.ts';

const never = new AbortController().signal;

/** The parts that the tests look at; the rest is free-form. */
interface Metadata {
  readonly server: Record<string, unknown>;
  readonly position: Record<string, unknown>;
  readonly replication: {
    readonly standbys: Record<string, unknown>[];
    readonly receiver: Record<string, unknown> | null;
    readonly replay: Record<string, unknown> | null;
    readonly slots: Record<string, unknown>[];
  };
  readonly databases: Record<string, unknown>[];
  readonly roles: Record<string, unknown>[];
  readonly settings: Record<string, unknown>[];
  readonly extensions: { readonly installed: Record<string, unknown>[] };
  readonly tablespaces: Record<string, unknown>[];
  readonly longTransactions: Record<string, unknown>[];
  readonly preparedTransactions: Record<string, unknown>[];
  readonly archiver: Record<string, unknown>;
  readonly warnings: { readonly code: string; readonly message: string }[];
}

async function read(env: Record<string, string>, longTransactionSeconds = 300): Promise<Metadata> {
  const session = await Session.open(parseSettings(env).settings, never);
  try {
    const metadata = await readMetadata(session, never, { longTransactionSeconds });
    return JSON.parse(JSON.stringify(metadata)) as Metadata;
  } finally {
    await session.close();
  }
}

describe.each(MAJORS)('the metadata of PostgreSQL %i, as the least-privileged role', (major) => {
  let it: TestServer;
  let standby: EmbeddedPostgres | undefined;

  beforeAll(async () => {
    it = await startServer({
      major,
      settings: {
        max_prepared_transactions: '4',
        work_mem: '7MB',
        full_page_writes: 'off',
        statement_timeout: '12345',
        archive_mode: 'on',
      },
      hba: ['host replication postgres 127.0.0.1/32 trust'],
      beforeStart: async (dataDir) => {
        await cp(dataDir, `${dataDir}-standby`, { recursive: true, preserveTimestamps: true });
      },
    });
    const { admin } = it;
    await admin.query(
      `ALTER SYSTEM SET archive_command = 'PGPASSWORD=hush3 /bin/true --key hush4 %p'`,
    );
    await admin.query(`ALTER SYSTEM SET primary_conninfo = 'host=x user=y password=hush5'`);
    await admin.query(`ALTER ROLE quiesce SET "app.jwt" = 'hush6'`);
    await admin.query('SELECT pg_reload_conf()');
    await admin.query(`CREATE ROLE clerk PASSWORD 'hush7' VALID UNTIL 'infinity'`);
    await admin.query('GRANT clerk TO quiesce WITH ADMIN OPTION');
    await admin.query('CREATE UNLOGGED TABLE scratch (n int)');
    await admin.query('CREATE TABLE t (n int)');
    await admin.query('CREATE EXTENSION amcheck');
    await admin.query('CREATE DATABASE closed');
    await admin.query('REVOKE CONNECT ON DATABASE closed FROM PUBLIC');
    await admin.query(`SELECT pg_create_physical_replication_slot('spare', true)`);
    const prepared = await it.connect();
    await prepared.query(`BEGIN; INSERT INTO t VALUES (1); PREPARE TRANSACTION 'pending'`);
    standby = await startStandby(it, major);
  });
  afterAll(async () => {
    await standby?.stop('immediate');
    await it.stop();
  });

  test('contains what an operator needs', async () => {
    const open = await it.connect();
    await open.query(`BEGIN; SELECT 'hush8'`);
    await new Promise((resolve) => setTimeout(resolve, 50));
    const meta = await read(it.roleEnv, 0.02);
    expect(meta.server).toMatchObject({
      role: 'primary',
      database: 'postgres',
      dataDirectory: it.dataDir,
    });
    expect(meta.server['systemIdentifier']).toMatch(/^\d{15,}$/);
    expect(meta.server['startedAt']).toMatch(/^20\d\d-\d\d-\d\dT[\d:.]+Z$/);
    expect(meta.position).toMatchObject({ timeline: 1 });
    expect(meta.position['lsn']).toMatch(/^[0-9A-F]+\/[0-9A-F]+$/);
    const names = meta.databases.map(({ name }) => name);
    expect(names).toEqual(['closed', 'postgres', 'template0', 'template1']);
    expect(
      meta.databases.every(({ sizeBytes }) => typeof sizeBytes === 'number' && sizeBytes > 1e6),
    ).toBe(true);
    const quiesce = meta.roles.find(({ name }) => name === 'quiesce');
    expect(quiesce).toMatchObject({ login: true, superuser: false, replication: true });
    expect(quiesce?.['memberOf']).toContainEqual({
      role: 'clerk',
      grantor: 'postgres',
      admin: true,
    });
    expect(meta.roles.find(({ name }) => name === 'clerk')).toMatchObject({ validUntil: null });
    expect(meta.extensions.installed.map(({ name }) => name)).toContain('amcheck');
    expect(meta.preparedTransactions).toMatchObject([
      { gid: 'pending', database: 'postgres', owner: 'postgres' },
    ]);
    expect(meta.longTransactions).toMatchObject([
      { user: 'postgres', state: 'idle in transaction' },
    ]);
    expect(meta.replication.slots).toMatchObject([
      { name: 'spare', type: 'physical', active: false },
    ]);
    expect(meta.archiver).toMatchObject({ mode: 'on', failing: false, failedCount: 0 });
    await open.query('ROLLBACK');
  });

  test('shows settings as other sessions have them, and where they come from', async () => {
    const { settings } = await read(it.roleEnv);
    const byName = (name: string): Record<string, unknown> | undefined =>
      settings.find((entry) => entry['name'] === name);
    expect(byName('work_mem')).toMatchObject({ value: '7168', unit: 'kB', source: 'command line' });
    expect(byName('statement_timeout')).toMatchObject({ value: '12345' });
    expect(byName('archive_command')?.['sourceFile']).toContain('postgresql.auto.conf');
    expect(byName('archive_command')).toMatchObject({
      value: '/bin/true (redacted)',
      source: 'configuration file',
    });
    for (const own of [
      'lock_timeout',
      'jit',
      'search_path',
      'application_name',
      'client_min_messages',
    ]) {
      expect(byName(own)).toBeUndefined();
    }
  });

  test('contains no secret, wherever the server has one', async () => {
    const text = JSON.stringify(await read(it.roleEnv, 0));
    expect(text).not.toMatch(/hush\d|SCRAM-SHA|md5[0-9a-f]{32}|rolpassword/);
  });

  test('warns about what a restore would lose or bring back', async () => {
    const { warnings } = await read(it.roleEnv);
    expect(warnings.map(({ code }) => code)).toEqual([
      'fsync-off',
      'full-page-writes-off',
      ...(major >= 18 ? [] : ['data-checksums-off']),
      'unlogged-tables',
      'prepared-transactions',
      'persistent-slots',
    ]);
    expect(warnings.map(({ message }) => message).join(' ')).toContain('spare');
  });

  test('shows each standby with its lag, and on the standby the receiver and the replay', async () => {
    let meta = await read(it.roleEnv);
    for (
      let round = 0;
      round < 50 && meta.replication.standbys[0]?.['state'] !== 'streaming';
      round += 1
    ) {
      await new Promise((resolve) => setTimeout(resolve, 100));
      meta = await read(it.roleEnv);
    }
    expect(meta.replication.standbys).toMatchObject([
      { name: 'mirror', state: 'streaming', syncState: 'async' },
    ]);
    expect(typeof meta.replication.standbys[0]?.['replayLagBytes']).toBe('number');
    const mirror = await read({ ...it.roleEnv, PGPORT: String(standby?.options.port) });
    expect(mirror.server).toMatchObject({ role: 'standby' });
    expect(mirror.replication.receiver).toMatchObject({ status: 'streaming', timeline: 1 });
    expect(mirror.replication.replay).toMatchObject({ paused: false });
    expect(JSON.stringify(mirror)).not.toMatch(/hush\d/);
  });

  test('travels with a copy as a whole: the role may read every part of it', async () => {
    const { settings } = parseSettings(it.roleEnv);
    const open = (database = settings.database): Promise<Session> =>
      Session.open({ ...settings, database }, never);
    const { metadata, absent, truncated } = await readCopyMetadata(open, never);
    // The REVOKE above closes this database to everyone but its owner.
    expect(absent.map(({ part }) => part)).toEqual([
      'extensions and collations of database closed',
    ]);
    expect(truncated).toEqual([]);
    expect(metadata).toMatchObject({
      server: { major, role: 'primary', architecture: 'x86_64' },
      extensions: { installed: expect.arrayContaining([expect.anything()]) as unknown },
      hba: expect.arrayContaining([expect.anything()]) as unknown,
      preparedTransactions: [{ database: 'postgres', owner: 'postgres' }],
    });
    expect(JSON.stringify(metadata)).not.toMatch(/hush\d|SCRAM-SHA|pending/);
    expect(differencesOf(metadata, metadata)).toEqual([]);
  });

  test('fails without pg_monitor, with the missing grant', async () => {
    await it.admin.query('REVOKE pg_monitor FROM quiesce');
    try {
      await expect(read(it.roleEnv)).rejects.toMatchObject({
        code: 'ENGINE_PRIVILEGE',
        message: expect.stringContaining('GRANT pg_monitor TO "quiesce";') as string,
      });
    } finally {
      await it.admin.query('GRANT pg_monitor TO quiesce');
    }
  });
});

/** A standby made from the copy of the fresh data directory. */
async function startStandby(it: TestServer, major: number): Promise<EmbeddedPostgres> {
  const dataDir = `${it.dataDir}-standby`;
  const server = await EmbeddedPostgres.at({
    major,
    dataDir,
    port: await freePort(),
    socketDir: join(it.dir, 'b'),
    settings: { fsync: 'off', max_prepared_transactions: '4', hot_standby: 'on' },
  });
  const { port } = it.server.options;
  const conninfo = `host=127.0.0.1 port=${port} user=postgres application_name=mirror password=hush1`;
  await writeFile(join(dataDir, 'standby.signal'), '');
  await writeFile(join(dataDir, 'postgresql.auto.conf'), `primary_conninfo = '${conninfo}'\n`);
  await ownAll(dataDir, server);
  await server.start();
  await waitForReplay(it, server);
  return server;
}

async function ownAll(dataDir: string, server: EmbeddedPostgres): Promise<void> {
  const { readdir } = await import('node:fs/promises');
  await server.own(dataDir);
  for (const name of await readdir(dataDir, { recursive: true }))
    await server.own(join(dataDir, name));
}

async function waitForReplay(it: TestServer, standby: EmbeddedPostgres): Promise<void> {
  const { Client } = await import('pg');
  const { rows } = await it.admin.query<{ lsn: string }>(
    'SELECT pg_current_wal_lsn()::text AS lsn',
  );
  const client = new Client({
    host: standby.options.socketDir,
    port: standby.options.port,
    user: 'postgres',
    database: 'postgres',
  });
  await client.connect();
  for (let round = 0; round < 200; round += 1) {
    const answer = await client.query<{ ok: boolean }>(
      'SELECT pg_last_wal_replay_lsn() >= $1::pg_lsn AS ok',
      [rows[0]?.lsn],
    );
    if (answer.rows[0]?.ok) break;
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
  await client.end();
}

describe('redaction', () => {
  test.each([
    ['primary_conninfo', `host=a password='x y' port=1`, 'host=a password=(redacted) port=1'],
    ['primary_conninfo', 'postgresql://u:pw@h/db', 'postgresql://u:(redacted)@h/db'],
    ['ssl_passphrase_command', 'echo x', '(redacted)'],
    ['archive_command', 'AWS_KEY=x aws s3 cp %p s3://b/%f', 'aws (redacted)'],
    ['archive_command', '/bin/true', '/bin/true'],
    ['work_mem', '4096', '4096'],
  ])('%s = %s is shown as %s', (name, value, shown) => {
    expect(redact(name, value)).toBe(shown);
  });
});
