import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest';
import { ENGINES } from '../../../src/engines/names.ts';
import { readMetadata } from '../../../src/engines/postgres/metadata/metadata.ts';
import { Session } from '../../../src/engines/postgres/connection/session.ts';
import { parseSettings } from '../../../src/engines/postgres/connection/settings.ts';
import { MAJORS, startServer, type TestServer } from '../../support/postgres.ts';

const never = new AbortController().signal;
const LOST_IF: readonly string[] = ENGINES.postgres.commitsLostIf;

describe.each(MAJORS)('asynchronous commits of PostgreSQL %i, as the least role sees', (major) => {
  let it: TestServer;
  const undo: string[] = [];

  beforeAll(async () => {
    it = await startServer({ major, settings: { fsync: 'on' } });
    await it.admin.query('CREATE ROLE app LOGIN');
    await it.admin.query('CREATE DATABASE shop');
  });
  afterEach(async () => {
    for (const statement of undo.splice(0)) await it.admin.query(statement);
  });
  afterAll(async () => it.stop());

  async function lost(): Promise<readonly string[]> {
    const session = await Session.open(parseSettings(it.roleEnv).settings, never);
    try {
      const { warnings } = (await readMetadata(session, never)) as unknown as {
        warnings: readonly { code: string; message: string }[];
      };
      return warnings.filter(({ code }) => LOST_IF.includes(code)).map((one) => one.message);
    } finally {
      await session.close();
    }
  }

  async function altered(what: string, value: string): Promise<readonly string[]> {
    undo.push(`ALTER ${what} RESET synchronous_commit`);
    await it.admin.query(`ALTER ${what} SET synchronous_commit = ${value}`);
    return await lost();
  }

  test('are none by default, and where a role waits for less than a standby', async () => {
    expect(await lost()).toEqual([]);
    expect(await altered('ROLE app', 'local')).toEqual([]);
  });

  test.each([
    ['DATABASE shop', 'off', 'database shop'],
    ['ROLE app', 'off', 'role app'],
    ['ROLE app', 'false', 'role app'],
    ['ROLE app IN DATABASE shop', '0', 'role app in database shop'],
  ])('are seen in ALTER %s SET synchronous_commit = %s', async (what, value, named) => {
    expect(await altered(what, value)).toEqual([
      expect.stringContaining(`synchronous_commit is off for ${named}:`),
    ]);
  });

  test('are seen for all roles, also where the sidecar has a setting of its own', async () => {
    const everywhere = [expect.stringContaining('synchronous_commit is off: commits')];
    expect(await altered('ROLE ALL', 'no')).toEqual(everywhere);
    expect(await altered('ROLE quiesce', 'on')).toEqual(everywhere);
  });

  test('may be there if a setting of the sidecar hides that of the server', async () => {
    await it.admin.query('ALTER SYSTEM SET synchronous_commit = off');
    await it.admin.query('SELECT pg_reload_conf()');
    undo.push('ALTER SYSTEM RESET synchronous_commit', 'SELECT pg_reload_conf()');
    expect(await altered('ROLE quiesce', 'on')).toEqual([
      expect.stringContaining('hides that of the server'),
    ]);
  });

  test('are not made by the SET of a function, which ends before the commit', async () => {
    undo.push('DROP FUNCTION quick');
    await it.admin.query(
      `CREATE FUNCTION quick() RETURNS text LANGUAGE sql SET synchronous_commit = off
        AS $$ SELECT current_setting('synchronous_commit') $$`,
    );
    const { rows } = await it.admin.query<Record<string, string>>(
      `SELECT inside, current_setting('synchronous_commit') AS after FROM (SELECT quick() AS inside OFFSET 0) q`,
    );
    expect(rows).toEqual([{ inside: 'off', after: 'on' }]);
    expect(await lost()).toEqual([]);
  });
});
