import { createServer } from 'node:net';
import { once } from 'node:events';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { Session } from '../../../src/engines/postgres/connection/session.ts';
import { parseSettings } from '../../../src/engines/postgres/connection/settings.ts';
import { QuiesceError } from '../../../src/errors.ts';
import { freePort } from '../../../src/testbed/postgres/server.ts';
import { type Pooler, startPgBouncer } from '../../support/pgbouncer.ts';
import { MAJORS, ROLE_PASSWORD, startServer, type TestServer } from '../../support/postgres.ts';

const never = new AbortController().signal;

function open(env: Record<string, string>, signal: AbortSignal = never): Promise<Session> {
  const { settings, issues } = parseSettings(env);
  expect(issues).toEqual([]);
  return Session.open(settings, signal);
}

async function failure(promise: Promise<unknown>): Promise<QuiesceError> {
  const error = await promise.then(
    () => undefined,
    (reason: unknown) => reason,
  );
  if (!(error instanceof QuiesceError)) throw new Error(`not a QuiesceError: ${String(error)}`);
  expect(JSON.stringify(error.toBody())).not.toContain(ROLE_PASSWORD);
  return error;
}

describe.each(MAJORS)('a session with PostgreSQL %i', (major) => {
  let it: TestServer;

  beforeAll(async () => {
    it = await startServer({
      major,
      settings: { statement_timeout: '200ms', default_transaction_isolation: 'serializable' },
    });
  });
  afterAll(async () => {
    await it.stop();
  });

  test('opens over TCP and over the Unix socket, as the least-privileged role', async () => {
    for (const env of [it.roleEnv, it.socketEnv]) {
      const session = await open(env);
      expect(session.major).toBe(major);
      expect(Math.floor(session.serverVersionNum / 10_000)).toBe(major);
      expect(session.version).toMatch(new RegExp(`^${major}\\.\\d+$`));
      const rows = await session.query<{ pid: number; num: string; app: string }>(
        `SELECT pg_catalog.pg_backend_pid() AS pid, pg_catalog.current_setting('server_version_num') AS num,
                pg_catalog.current_setting('application_name') AS app`,
        [],
        never,
      );
      expect(rows).toEqual([
        { pid: session.pid, num: String(session.serverVersionNum), app: 'quiesce' },
      ]);
      await session.close();
      expect(session.lost.aborted).toBe(false);
    }
  });

  test('survives the timeouts of the server and ignores its search path', async () => {
    const { admin } = it;
    await admin.query(`ALTER ROLE quiesce SET search_path = evil, pg_catalog`);
    await admin.query(`CREATE SCHEMA evil; GRANT USAGE ON SCHEMA evil TO quiesce`);
    await admin.query(
      `CREATE FUNCTION evil.pg_backend_pid() RETURNS int LANGUAGE sql AS 'SELECT 1'`,
    );
    const session = await open(it.roleEnv);
    const rows = await session.query<{ pid: number }>('SELECT pg_backend_pid() AS pid', [], never);
    expect(rows[0]?.pid).toBe(session.pid);
    await session.query('SELECT pg_catalog.pg_sleep(0.5)', [], never);
    await session.close();
    await admin.query(`ALTER ROLE quiesce RESET search_path; DROP SCHEMA evil CASCADE`);
  });

  test('returns 64-bit numbers, LSNs and times as exact text', async () => {
    const session = await open(it.roleEnv);
    const rows = await session.query(
      `SELECT 9007199254740993::int8 AS big, '0/1F'::pg_lsn AS lsn, '2026-01-02 03:04:05.678901+00'::timestamptz AS at, $1::int AS n`,
      [7],
      never,
    );
    expect(rows[0]).toMatchObject({ big: '9007199254740993', lsn: '0/1F', n: 7 });
    expect(rows[0]?.['at']).toContain('05.678901');
    await session.close();
  });

  test('an abort rejects at once, ends the statement on the server, and loses the session', async () => {
    const session = await open(it.roleEnv);
    const controller = new AbortController();
    const running = failure(
      session.query('SELECT pg_catalog.pg_sleep(600)', [], controller.signal),
    );
    const queued = failure(session.query('SELECT 1', [], never));
    await new Promise((resolve) => setTimeout(resolve, 100));
    const begun = Date.now();
    controller.abort();
    expect((await running).message).toContain('was cancelled');
    expect(Date.now() - begun).toBeLessThan(500);
    expect((await queued).code).toBe('ENGINE_UNREACHABLE');
    expect(session.lost.aborted).toBe(true);
    await expectGone(it, session.pid, 3_000);
    await session.close();
  });

  test('an abort rejects promptly even if the server is stopped and does not answer', async () => {
    const session = await open(it.roleEnv);
    const { rows } = await it.admin.query<{ pid: number }>(
      'SELECT pg_catalog.pg_backend_pid() AS pid',
    );
    expect(rows).toHaveLength(1);
    const postmaster = it.server.pid ?? 0;
    process.kill(postmaster, 'SIGSTOP');
    process.kill(session.pid, 'SIGSTOP');
    try {
      const begun = Date.now();
      const error = await failure(session.query('SELECT 1', [], AbortSignal.timeout(300)));
      expect(error.code).toBe('ENGINE_FAILED');
      expect(Date.now() - begun).toBeLessThan(1_000);
      const opening = await failure(open(it.roleEnv, AbortSignal.timeout(300)));
      expect(opening.code).toBe('ENGINE_UNREACHABLE');
      await session.close();
      expect(Date.now() - begun).toBeLessThan(6_000);
    } finally {
      process.kill(session.pid, 'SIGCONT');
      process.kill(postmaster, 'SIGCONT');
    }
    await expectGone(it, session.pid, 5_000);
  });

  test('a session that the server ended is lost, with the reason', async () => {
    const session = await open(it.roleEnv);
    const lost = once(session.lost, 'abort');
    await it.admin.query('SELECT pg_terminate_backend($1)', [session.pid]);
    await lost;
    expect(session.lost.reason).toBeInstanceOf(QuiesceError);
    expect((session.lost.reason as QuiesceError).message).toContain('terminating connection');
    expect((await failure(session.query('SELECT 1', [], never))).code).toBe('ENGINE_UNREACHABLE');
    await session.close();
  });

  test('closing twice, and during a statement, is harmless', async () => {
    const session = await open(it.roleEnv);
    const running = failure(session.query('SELECT pg_catalog.pg_sleep(600)', [], never));
    await session.close();
    await session.close();
    expect((await running).code).toBe('ENGINE_UNREACHABLE');
    await expectGone(it, session.pid, 3_000);
  });
});

async function expectGone(it: TestServer, pid: number, withinMs: number): Promise<void> {
  const deadline = Date.now() + withinMs;
  for (;;) {
    const { rows } = await it.admin.query(
      'SELECT state, query FROM pg_stat_activity WHERE pid = $1',
      [pid],
    );
    if (rows.length === 0) return;
    if (Date.now() > deadline) throw new Error(`still there: ${JSON.stringify(rows)}`);
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
}

describe('something other than a supported server', () => {
  let it: TestServer;
  const poolers: Pooler[] = [];

  beforeAll(async () => {
    it = await startServer({ major: 17 });
  });
  afterAll(async () => {
    await Promise.all(poolers.map((pooler) => pooler.stop()));
    await it.stop();
  });

  test.each(['transaction', 'session', 'statement'] as const)(
    'PgBouncer in %s mode is refused',
    async (mode) => {
      const pooler = await startPgBouncer(
        it.dir,
        { host: '127.0.0.1', port: Number(it.roleEnv['PGPORT']) },
        mode,
        { quiesce: ROLE_PASSWORD },
      );
      poolers.push(pooler);
      const env = { ...it.roleEnv, PGPORT: String(pooler.port) };
      const error = await failure(open(env));
      expect(error.code).toBe('ENGINE_POOLER');
      expect(error.hint).toContain('PGPORT');
      expect((await failure(open({ ...env, PGDATABASE: 'pgbouncer' }))).code).toBe('ENGINE_POOLER');
    },
  );

  test('an unsupported version is refused, and the error contains it', async () => {
    const old = await startServer({ major: 12, role: false });
    try {
      const error = await failure(open(old.server.env()));
      expect(error.code).toBe('ENGINE_VERSION');
      expect(error.message).toMatch(/PostgreSQL 12\.\d+.*13 to 18/);
    } finally {
      await old.stop();
    }
  });

  test('an HTTP server causes ENGINE_UNREACHABLE, not an unhandled error', async () => {
    const port = await freePort();
    const server = createServer((socket) => socket.end('HTTP/1.1 400 Bad Request\r\n\r\n'));
    server.listen(port, '127.0.0.1');
    await once(server, 'listening');
    const env = {
      PGHOST: '127.0.0.1',
      PGPORT: String(port),
      PGUSER: 'x',
      PGSSLMODE: 'disable',
      PGCONNECT_TIMEOUT: '2',
    };
    expect((await failure(open(env))).code).toBe('ENGINE_UNREACHABLE');
    server.close();
  });

  test('an unknown authentication method causes an error, not a crash', async () => {
    const port = await freePort();
    // AuthenticationGSS
    const server = createServer((socket) => {
      socket.on('error', () => undefined);
      socket.once('data', () => socket.write(Buffer.from([0x52, 0, 0, 0, 8, 0, 0, 0, 7])));
    });
    server.listen(port, '127.0.0.1');
    await once(server, 'listening');
    const env = { PGHOST: '127.0.0.1', PGPORT: String(port), PGUSER: 'x', PGSSLMODE: 'disable' };
    const error = await failure(open(env));
    expect(error.code).toBe('ENGINE_AUTH');
    expect(error.message).toContain('authentication method');
    server.close();
  });
});
