import { execFile } from 'node:child_process';
import { promisify } from 'node:util';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { Session } from '../../../src/engines/postgres/connection/session.ts';
import { parseSettings } from '../../../src/engines/postgres/connection/settings.ts';
import { MAJORS, roleSql, startServer, type TestServer } from '../../support/postgres.ts';

const never = new AbortController().signal;

describe.each(MAJORS)('roles/postgres.sql on PostgreSQL %i', (major) => {
  const fifteen = major >= 15;
  const start = fifteen ? `pg_backup_start('x', true)` : `pg_start_backup('x', true, false)`;
  const stop = fifteen ? 'pg_backup_stop(false)' : 'pg_stop_backup(false, false)';
  const startSignature = fifteen
    ? 'pg_backup_start(text, boolean)'
    : 'pg_start_backup(text, boolean, boolean)';
  const stopSignature = fifteen ? 'pg_backup_stop(boolean)' : 'pg_stop_backup(boolean, boolean)';
  let it: TestServer;

  beforeAll(async () => {
    it = await startServer({ major });
  });
  afterAll(async () => {
    await it.stop();
  });

  async function ask(...statements: string[]): Promise<unknown> {
    const session = await Session.open(parseSettings(it.roleEnv).settings, never);
    try {
      let rows: unknown;
      for (const sql of statements) rows = await session.query(sql, [], never);
      return rows;
    } catch (error) {
      return error;
    } finally {
      await session.close();
    }
  }

  const freeze = [`SELECT pg_catalog.${start}`, `SELECT lsn FROM pg_catalog.${stop}`];

  test('grants what a freeze needs, and no more', async () => {
    expect(await ask(...freeze)).toHaveLength(1);
    expect(await ask(`SELECT pg_catalog.current_setting('data_directory') AS dir`)).toEqual([
      { dir: it.dataDir },
    ]);
    for (const forbidden of [
      'CREATE DATABASE x',
      'CREATE ROLE x',
      'SELECT rolpassword FROM pg_catalog.pg_authid',
      `SELECT pg_catalog.pg_read_file('PG_VERSION')`,
    ]) {
      expect(await ask(forbidden)).toMatchObject({ code: 'ENGINE_PRIVILEGE' });
    }
  });

  test('may be run again, by a plain client and by psql', async () => {
    await it.admin.query(await roleSql());
    const file = fileURLToPath(new URL('../../../roles/postgres.sql', import.meta.url));
    const env = { ...process.env, ...it.server.env() };
    await promisify(execFile)('psql', ['-X', '-v', 'ON_ERROR_STOP=1', '-q', '-f', file], { env });
    expect(await ask(...freeze)).toHaveLength(1);
  });

  test.each([
    ['start', () => `FUNCTION pg_catalog.${startSignature}`],
    ['stop', () => `FUNCTION pg_catalog.${stopSignature}`],
  ])('the error without EXECUTE on %s contains the grant', async (_name, target) => {
    await it.admin.query(`REVOKE EXECUTE ON ${target()} FROM quiesce`);
    const error = (await ask(...freeze)) as Error;
    const statement = `GRANT EXECUTE ON ${target()} TO "quiesce";`;
    expect(error).toMatchObject({ code: 'ENGINE_PRIVILEGE' });
    expect(error.message).toContain(statement);
    await it.admin.query(statement);
    expect(await ask(...freeze)).toHaveLength(1);
  });

  test('the error without pg_monitor contains the grant', async () => {
    await it.admin.query('REVOKE pg_monitor FROM quiesce');
    const error = (await ask(`SELECT pg_catalog.current_setting('data_directory')`)) as Error;
    expect(error).toMatchObject({ code: 'ENGINE_PRIVILEGE' });
    expect(error.message).toContain('GRANT pg_monitor TO "quiesce";');
    expect(((await ask('SELECT * FROM pg_catalog.pg_ls_waldir()')) as Error).message).toContain(
      'GRANT pg_monitor TO "quiesce";',
    );
    await it.admin.query('GRANT pg_monitor TO quiesce');
  });

  test('the error for a slot without REPLICATION contains the statement', async () => {
    const slot = `SELECT pg_catalog.pg_create_physical_replication_slot('q', true, true)`;
    expect(await ask(slot)).toHaveLength(1);
    await it.admin.query('ALTER ROLE quiesce NOREPLICATION');
    const error = (await ask(slot)) as Error;
    expect(error).toMatchObject({ code: 'ENGINE_PRIVILEGE' });
    expect(error.message).toContain('ALTER ROLE "quiesce" REPLICATION;');
    await it.admin.query('ALTER ROLE quiesce REPLICATION');
  });

  test('CHECKPOINT is granted from 15 on, and the error without it contains the grant', async () => {
    if (!fifteen) {
      expect(await ask('CHECKPOINT')).toMatchObject({ code: 'ENGINE_PRIVILEGE' });
      return;
    }
    expect(await ask('CHECKPOINT')).toEqual([]);
    await it.admin.query('REVOKE pg_checkpoint FROM quiesce');
    const error = (await ask('CHECKPOINT')) as Error;
    expect(error).toMatchObject({ code: 'ENGINE_PRIVILEGE' });
    expect(error.message).toContain('GRANT pg_checkpoint TO "quiesce";');
    await it.admin.query('GRANT pg_checkpoint TO quiesce');
  });
});
