import { spawnSync } from 'node:child_process';
import { existsSync } from 'node:fs';
import { chmod, mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { createServer } from 'node:net';
import { join } from 'node:path';
import { afterEach, describe, expect, it } from 'vitest';
import { runCli } from '../../src/testbed/processes.ts';
import { startPgBouncer } from '../support/pgbouncer.ts';
import {
  makeTempDir,
  ROLE_PASSWORD,
  startServer,
  type TestServer,
  type TestServerOptions,
} from '../support/postgres.ts';
import { TestSidecar } from '../support/sidecar.ts';

const undo: (() => unknown)[] = [];
afterEach(async () => {
  for (const step of undo.splice(0).toReversed()) await step();
});

async function server(options: TestServerOptions): Promise<TestServer> {
  const running = await startServer(options);
  undo.push(() => running.stop());
  return running;
}

/** A sidecar for a server, with the least-privileged role. */
async function sidecarFor(
  running: TestServer,
  env: Record<string, string> = {},
): Promise<TestSidecar> {
  return await sidecar({ ...running.roleEnv, ...env });
}

async function sidecar(env: Record<string, string>): Promise<TestSidecar> {
  const one = new TestSidecar(await makeTempDir('qs-'), env);
  undo.push(() => one.signal('SIGKILL'));
  return one;
}

const isRoot = process.getuid?.() === 0;

/** Mounts a small file system. */
async function tmpfs(options: string): Promise<string> {
  const dir = await makeTempDir('qt-');
  const { status, stderr } = spawnSync('mount', ['-t', 'tmpfs', '-o', options, 'quiesce', dir], {
    encoding: 'utf8',
  });
  if (status !== 0) throw new Error(`a tmpfs cannot be mounted: ${stderr}`);
  undo.push(() => spawnSync('umount', ['-l', dir]));
  return dir;
}

/** A folder that takes no file, and the system's reason. */
interface Unwritable {
  readonly what: string;
  readonly why: string;
  readonly make: () => Promise<string>;
}

/** Permissions do not stop root, and only root can make a file system that is full or read-only. */
const UNWRITABLE: readonly Unwritable[] = isRoot
  ? [
      {
        what: 'full',
        why: 'no space left',
        make: async () => {
          const dir = await tmpfs('size=64k,mode=777');
          spawnSync('dd', ['if=/dev/zero', `of=${join(dir, 'full')}`, 'bs=4k']);
          return dir;
        },
      },
      { what: 'read-only', why: 'read-only', make: () => tmpfs('ro') },
    ]
  : [
      {
        what: 'forbidden (only root can make a full one)',
        why: 'permission denied',
        make: async () => {
          const dir = await makeTempDir('qt-');
          await chmod(dir, 0o500);
          return dir;
        },
      },
    ];

/** A folder on another file system than the temporary directory; it exists on every Linux. */
async function elsewhere(): Promise<string> {
  const dir = await mkdtemp('/dev/shm/quiesce-');
  undo.push(() => rm(dir, { recursive: true, force: true }));
  await chmod(dir, 0o755);
  return dir;
}

/**
 * Expects that the freeze is refused with this code, the thaw after it fails, and the sidecar
 * lives.
 */
async function expectRefused(one: TestSidecar, code: string, exit: number): Promise<string> {
  const frozen = await one.cli('freeze', '--timeout', '5s', '-o', 'json');
  const { error } = JSON.parse(frozen.stdout) as {
    error: { code: string; message: string; hint: string };
  };
  expect(error.code, error.message).toBe(code);
  expect(frozen.code).toBe(exit);
  expect(error.hint.length).toBeGreaterThan(10);
  expect((await one.cli('thaw')).code).toBe(7);
  expect((await one.status()).state).toBe('thawed');
  return `${error.message} ${error.hint}`;
}

describe('where the grant or wal_level is missing', () => {
  it.each([13, 17])(
    'PostgreSQL %i falls back to crash-consistent, and a note has the grant',
    async (major) => {
      const pg = await server({ major });
      const call =
        major >= 15 ? 'pg_backup_start(text, boolean)' : 'pg_start_backup(text, boolean, boolean)';
      await pg.admin.query(`REVOKE EXECUTE ON FUNCTION ${call} FROM quiesce`);
      const one = await (await sidecarFor(pg, { QUIESCE_DATA_DIR: pg.dir })).start();
      const { body } = await one.api('POST', '/v1/freeze', { id: 'weak' });
      expect(body).toMatchObject({
        mode: 'crash-consistent',
        reasons: ['grant-missing'],
        verdict: 'held',
      });
      expect(body.notes.join(' ')).toContain(
        `GRANT EXECUTE ON FUNCTION pg_catalog.${call} TO "quiesce";`,
      );
      expect(body.restore.backupLabel).toBeNull();
      expect((await one.api('POST', '/v1/thaw')).body).toMatchObject({
        verdict: 'consistent',
        mode: 'crash-consistent',
      });
    },
  );

  it('wal_level minimal falls back to crash-consistent, with the reason', async () => {
    const pg = await server({
      major: 17,
      settings: { wal_level: 'minimal', max_wal_senders: '0' },
    });
    const one = await (await sidecarFor(pg)).start();
    const { body } = await one.api('POST', '/v1/freeze', {});
    expect(body).toMatchObject({ mode: 'crash-consistent', reasons: ['wal-level-minimal'] });
    expect((await one.api('POST', '/v1/thaw')).status).toBe(200);
  });

  it('without REPLICATION the receipt warns that WAL is not kept, and a thaw fails after the start segment was recycled', async () => {
    const pg = await server({ major: 17, settings: { max_wal_size: '32MB' } });
    await pg.admin.query('ALTER ROLE quiesce NOREPLICATION');
    const one = await (await sidecarFor(pg)).start();
    const { body } = await one.api('POST', '/v1/freeze', {});
    expect(body.mode).toBe('sealed');
    expect(body.notes.join(' ')).toContain('REPLICATION');
    for (let round = 0; round < 4; round += 1) {
      await pg.admin.query(
        'CREATE TABLE filler AS SELECT generate_series(1, 200000); DROP TABLE filler',
      );
      await pg.admin.query('SELECT pg_switch_wal()');
      await pg.admin.query('CHECKPOINT');
    }
    const thaw = await one.api('POST', '/v1/thaw');
    expect(thaw).toMatchObject({ status: 409, body: { receipt: { reasons: ['wal-recycled'] } } });
  });
});

describe('a copy method that cannot keep the promise', () => {
  it('a tablespace on another volume is refused with its name', async () => {
    const pg = await server({ major: 17 });
    const other = await elsewhere();
    const folder = join(other, 'ts');
    await mkdir(folder, { mode: 0o700 });
    await pg.server.own(folder);
    await pg.admin.query(`CREATE TABLESPACE elsewhere LOCATION '${folder}'`);
    const one = await (await sidecarFor(pg, { QUIESCE_DATA_DIR: pg.dir })).start();
    expect(await expectRefused(one, 'COPY_UNSUPPORTED', 5)).toContain('elsewhere');
    await pg.admin.query('DROP TABLESPACE elsewhere');
  });
});

describe('a database that cannot be frozen', () => {
  it('unreachable: the sidecar lives, is not ready, and becomes ready once the server starts', async () => {
    const pg = await server({ major: 17 });
    const one = await sidecarFor(pg);
    await pg.server.stop();
    await one.start('live');
    const answers = await Promise.all(
      ['/healthz', '/readyz'].map((path) => fetch(`http://127.0.0.1:${one.metricsPort}${path}`)),
    );
    expect(answers.map((answer) => answer.status)).toEqual([200, 503]);
    await expectRefused(one, 'ENGINE_UNREACHABLE', 5);
    await pg.server.start();
    await expect
      .poll(async () => (await one.status()).engine.reachable, { timeout: 10_000 })
      .toBe(true);
    expect(await one.cli('freeze')).toMatchObject({ code: 0 });
  });

  it('starting up: a standby that takes no connections', async () => {
    const pg = await server({ major: 17 });
    const one = await sidecarFor(pg);
    await pg.server.stop();
    await writeFile(join(pg.dataDir, 'standby.signal'), '');
    await writeFile(join(pg.dataDir, 'postgresql.auto.conf'), 'hot_standby = off\n');
    void pg.server.start().catch(() => undefined);
    await one.start('live');
    await expect
      .poll(async () => (await one.api('POST', '/v1/freeze', {})).body.error.code, {
        timeout: 10_000,
      })
      .toBe('ENGINE_STARTING');
  });

  it('an unsupported version', async () => {
    const pg = await server({ major: 12, role: false });
    const one = await (await sidecar(pg.server.env())).start('live');
    expect(await expectRefused(one, 'ENGINE_VERSION', 5)).toContain('12.');
  });

  it('a pooler in between', async () => {
    const pg = await server({ major: 17 });
    const { port } = pg.server.options;
    const pooler = await startPgBouncer(pg.dir, { host: '127.0.0.1', port }, 'transaction', {
      quiesce: ROLE_PASSWORD,
    });
    undo.push(() => pooler.stop());
    const one = await (await sidecarFor(pg, { PGPORT: String(pooler.port) })).start('live');
    await expectRefused(one, 'ENGINE_POOLER', 5);
  });

  it('a mounted volume of another server', async () => {
    const [pg, other] = [await server({ major: 17 }), await server({ major: 17 })];
    const one = await (await sidecarFor(pg, { QUIESCE_DATA_DIR: other.dir })).start();
    await expectRefused(one, 'ENGINE_DATA_MISMATCH', 5);
    expect(existsSync(join(other.dir, '.quiesce/receipt.json'))).toBe(false);
  });
});

describe('places that cannot be written', () => {
  it.each(UNWRITABLE)(
    'a $what data volume does not stop the freeze, and the receipt says that the volume has no file',
    async ({ make, why }) => {
      const pg = await server({ major: 17 });
      const one = await (await sidecarFor(pg, { QUIESCE_DATA_DIR: await make() })).start();
      const { status, body } = await one.api('POST', '/v1/freeze', {});
      expect(status).toBe(200);
      expect(body.evidence).toMatchObject({ onVolume: false });
      expect(body.evidence.detail).toContain(why);
      expect((await one.api('POST', '/v1/thaw')).status).toBe(200);
    },
  );

  it.each(UNWRITABLE)('a $what state directory: nothing is frozen', async ({ make, why }) => {
    const pg = await server({ major: 17 });
    const state = await make();
    const env = { QUIESCE_STATE_DIR: state, QUIESCE_DATA_DIR: pg.dir };
    const one = await (await sidecarFor(pg, env)).start('live');
    expect(await expectRefused(one, 'JOURNAL_FAILED', 5)).toContain(why);
    expect(existsSync(join(pg.dir, '.quiesce/receipt.json'))).toBe(false);
    expect(await pg.admin.query('SELECT slot_name FROM pg_replication_slots')).toMatchObject({
      rows: [],
    });
  });

  it('the sidecar refuses a socket path that is a regular file or another sidecar’s', async () => {
    const pg = await server({ major: 17 });
    const one = await sidecarFor(pg);
    await writeFile(one.socket, 'precious');
    expect(await one.refuse()).toMatchObject({
      code: 2,
      stderr: expect.stringContaining('SOCKET_UNUSABLE'),
    });
    expect(await readFile(one.socket, 'utf8')).toBe('precious');

    const living = await (await sidecarFor(pg)).start();
    expect(await living.cli('freeze', '--id', 'mine')).toMatchObject({ code: 0 });
    const second = await sidecarFor(pg, {
      QUIESCE_SOCKET: living.socket,
      QUIESCE_STATE_DIR: living.env['QUIESCE_STATE_DIR'] ?? '',
    });
    expect(await second.refuse()).toMatchObject({
      code: 2,
      stderr: expect.stringContaining('SOCKET_IN_USE'),
    });
    const sameState = await sidecarFor(pg, {
      QUIESCE_STATE_DIR: living.env['QUIESCE_STATE_DIR'] ?? '',
    });
    expect(await sameState.refuse()).toMatchObject({
      code: 2,
      stderr: expect.stringContaining('SOCKET_IN_USE'),
    });
    expect((await living.status()).lease?.id).toBe('mine');
    expect(await living.cli('thaw')).toMatchObject({ code: 0 });
  });

  it('the error for an address in use has the setting', async () => {
    const pg = await server({ major: 17 });
    const taken = createServer().listen(0, '127.0.0.1');
    undo.push(() => taken.close());
    await new Promise((resolve) => taken.once('listening', resolve));
    const { port } = taken.address() as { port: number };
    const one = await sidecarFor(pg, { QUIESCE_METRICS_ADDR: `127.0.0.1:${port}` });
    const refused = await one.refuse();
    expect(refused.code).toBe(2);
    expect(refused.stderr).toContain('QUIESCE_METRICS_ADDR');
    expect(existsSync(one.socket)).toBe(false);
  });

  it('all invalid settings are reported at once, without the value of a secret', async () => {
    const refused = await runCli(['sidecar'], {
      QUIESCE_ENGINE: 'postgres',
      QUIESCE_TTL: '10',
      QUIESCE_COPPY: 'snapshot',
      PGSSLMODE: 'sometimes',
      PGSERVICE: 'prod',
      PGPASSWORD: 'hunter2-secret',
    });
    expect(refused.code).toBe(2);
    for (const name of ['QUIESCE_TTL', 'QUIESCE_COPPY', 'PGSSLMODE', 'PGSERVICE']) {
      expect(refused.stderr).toContain(name);
    }
    expect(refused.stderr).not.toContain('hunter2-secret');
  });
});
