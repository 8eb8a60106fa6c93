import { spawn } from 'node:child_process';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { cleanEnv, cliPath } from '../../../src/testbed/processes.ts';
import { startServer, type TestServer } from '../../support/postgres.ts';

let server: TestServer;

beforeAll(async () => {
  server = await startServer({ major: 17 });
  await server.admin.query('CREATE TABLE orders (id int)');
  await server.admin.query('INSERT INTO orders VALUES (1)');
  // A role that may write: the statement must be held back by more than missing rights.
  await server.admin.query('GRANT ALL ON orders TO PUBLIC');
  await server.admin.query('CREATE DATABASE other');
});
afterAll(async () => await server.stop());

/** As `quiesce validate` runs it in the container of a sidecar. */
async function ask(statement: string, ...more: readonly string[]) {
  const words = ['ask', '--statement', statement, ...more, '-o', 'json'];
  const env = cleanEnv({ ...server.roleEnv, QUIESCE_ENGINE: 'postgres' });
  const child = spawn(process.execPath, [cliPath(), ...words], { env });
  let out = '';
  child.stdout.on('data', (data: Buffer) => (out += data.toString()));
  const code = await new Promise((resolve) => child.on('close', resolve));
  return {
    code,
    body: JSON.parse(out) as {
      ok?: boolean;
      found?: string;
      error?: { code: string; message: string };
    },
  };
}

const count = async (): Promise<string> =>
  (await server.admin.query<{ count: string }>('SELECT count(*) FROM orders')).rows[0]?.count ?? '';

describe('a check in SQL', () => {
  it.each([
    ['select count(*) > 0 from orders', { ok: true, found: 'true' }],
    ['select count(*) > 5 from orders', { ok: false, found: 'false' }],
    ['select id from orders where id = 9', { ok: false }],
    ['select null', { ok: false, found: 'null' }],
    ['with o as (select id from orders) select id from o;', { ok: true, found: '1' }],
    ['table orders', { ok: true, found: '1' }],
  ])('%s', async (statement, body) => {
    expect(await ask(statement)).toEqual({ code: 0, body });
  });

  it('can ask another database', async () => {
    expect((await ask('select current_database()', '--database', 'other')).body).toEqual({
      ok: true,
      found: 'other',
    });
  });

  it.each([
    'with d as (delete from orders returning 1) select 1 from d',
    'select 1; commit; delete from orders',
    'select 1; delete from orders',
    'select 1; set transaction read write; delete from orders',
    'delete from orders',
    "copy (select 1) to program 'true'",
    'do $$ begin delete from orders; end $$',
    "select set_config('transaction_read_only', 'off', false)",
  ])('changes nothing: %s', async (statement) => {
    const { code, body } = await ask(statement);
    expect([code === 0, body.error === undefined]).toEqual([false, false]);
    expect(await count()).toBe('1');
  });

  it('ends in time', async () => {
    const begun = performance.now();
    const { body } = await ask('select pg_sleep(60)', '--timeout', '1s');
    expect(body.error?.code).toMatch(/^ENGINE_/);
    expect(performance.now() - begun).toBeLessThan(20_000);
  });
});
