import { spawnSync } from 'node:child_process';
import { appendFile, cp, mkdir, readdir, rm, truncate, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterEach, describe, expect, it } from 'vitest';
import { runCli } from '../../../src/testbed/processes.ts';
import { copyFileByFile } from '../../support/file-copy.ts';
import { missingOn, redisFolder, RedisLoad, RedisServer, SERVERS } from '../../support/redis.ts';
import { type Reply, TestSidecar } from '../../support/sidecar.ts';

const undo: (() => unknown)[] = [];

afterEach(async () => {
  for (const one of undo.splice(0).toReversed()) await one();
});

const CONFIGS = {
  aof: ['appendonly yes', 'save ""'],
  rdb: ['appendonly no', 'save 3600 1'],
} as const;

interface Copied {
  readonly dir: string;
  readonly copy: string;
  readonly acked: readonly number[];
  /** The final receipt. */
  readonly receipt: object;
  readonly id: string;
}

/** A copy made file by file, in random order, between freeze and thaw. */
async function copied(
  binary: string,
  config: readonly string[],
  env: Record<string, string> = {},
): Promise<Copied> {
  const { dir, remove } = await redisFolder();
  undo.push(remove);
  const server = await RedisServer.start({ binary, dir: join(dir, 'data'), config });
  undo.push(() => server.kill());
  await mkdir(join(dir, 'q'));
  const sidecar = new TestSidecar(join(dir, 'q'), {
    ...server.env(),
    QUIESCE_DATA_DIR: join(dir, 'data'),
    QUIESCE_COPY: 'files',
    ...env,
  });
  undo.push(() => sidecar.signal('SIGKILL'));
  await sidecar.start();
  await server.admin.hset('a:hash', { one: '1', two: '2' });
  await server.admin.rpush('a:list', 'x', 'y');
  await server.admin.set('a:ttl', 'soon', 'EX', 100);
  const load = new RedisLoad(server);
  undo.push(() => load.stop());
  load.start();
  await sleep(300);
  const held = await sidecar.api('POST', '/v1/freeze', { id: 'copy-1' });
  expect(held.body.verdict).toBe('held');
  const acked = [...load.acked];
  const copy = join(dir, 'copy');
  await mkdir(copy);
  await copyFileByFile(join(dir, 'data'), copy, { between: () => sleep(300) });
  const thaw = await sidecar.api('POST', '/v1/thaw', {});
  expect(thaw.body.verdict).toBe('consistent');
  await load.stop();
  await sidecar.stop();
  return { dir, copy, acked, receipt: thaw.body as object, id: 'copy-1' };
}

async function prepare(
  copy: string,
  ...flags: string[]
): Promise<{ code: number | null; body: Reply['body'] }> {
  const done = await runCli(['prepare-restore', '--data', copy, '-o', 'json', ...flags], {});
  return { code: done.code, body: JSON.parse(done.stdout) };
}

async function sidecarFor(copied: Copied, server: RedisServer): Promise<TestSidecar> {
  const dir = join(copied.dir, 'q2');
  await mkdir(dir, { recursive: true });
  const sidecar = new TestSidecar(dir, { ...server.env(), QUIESCE_DATA_DIR: copied.copy });
  undo.push(() => sidecar.signal('SIGKILL'));
  return await sidecar.start();
}

async function verification(sidecar: TestSidecar) {
  await expect
    .poll(async () => (await sidecar.status()).restore?.verified ?? null, { timeout: 15_000 })
    .not.toBeNull();
  return (await sidecar.status()).restore;
}

async function incrementOf(copy: string): Promise<string> {
  const folder = (await readdir(copy)).includes('appendonlydir') ? 'appendonlydir' : '';
  const name = (await readdir(join(copy, folder))).find((one) =>
    /\.incr\.aof$|^appendonly\.aof$/.test(one),
  );
  return join(copy, folder, name ?? '');
}

describe.each(SERVERS)('%s', (binary) => {
  it.each([
    ['an AOF', CONFIGS.aof],
    ['RDB only', CONFIGS.rdb],
  ])(
    'a file-by-file copy is proven, starts, lacks nothing and is verified, with %s',
    async (_name, config) => {
      const made = await copied(binary, config, { REDIS_SAMPLE_KEYS: '50' });
      const prepared = await prepare(made.copy);
      expect(prepared).toMatchObject({ code: 0, body: { outcome: 'prepared', engine: 'redis' } });
      expect(prepared.body.notes.join()).toContain('START THE SERVER WITH appendonly');
      const server = await RedisServer.start({ binary, dir: made.copy, config });
      undo.push(() => server.kill());
      expect(await missingOn(server, made.acked)).toBe(0);
      const sidecar = await sidecarFor(made, server);
      expect(await verification(sidecar)).toMatchObject({ id: made.id, verified: true });
      expect(await sidecar.metrics()).toMatch(/stateful_backup_restore_verified\{[^}]*\} 1/);
      const again = await sidecar.api('POST', '/v1/verify', {
        receipt: made.receipt,
        amcheck: true,
      });
      expect(again.body).toMatchObject({ verified: true });
      expect(again.body).toMatchObject({ level: 'content', content: 'passed' });
      await server.admin.del('a:hash');
      await server.admin.hset('a:hash', { one: 'other' });
      const differs = await sidecar.api('POST', '/v1/verify', {
        receipt: made.receipt,
        amcheck: true,
      });
      expect(differs.status).toBe(409);
      expect(JSON.stringify(differs.body)).toContain('a:hash');
    },
  );

  it('files whose names are quoted in the manifest are found and proven in the copy', async () => {
    const names = ['appendfilename "à b.aof"', 'appenddirname "dossier é"'];
    const made = await copied(binary, [...CONFIGS.aof, ...names]);
    expect(await prepare(made.copy)).toMatchObject({ code: 0, body: { outcome: 'prepared' } });
  });

  it('a truncated AOF is refused before the server truncates it further', async () => {
    const made = await copied(binary, CONFIGS.aof);
    await truncate(await incrementOf(made.copy), 100);
    expect(await prepare(made.copy)).toMatchObject({
      code: 7,
      body: { error: { code: 'RESTORE_INCOMPLETE' } },
    });
  });

  it('an AOF that lacks a file is refused', async () => {
    const made = await copied(binary, CONFIGS.aof);
    await rm(await incrementOf(made.copy));
    expect(await prepare(made.copy)).toMatchObject({
      body: { error: { code: 'RESTORE_INCOMPLETE' } },
    });
  });

  it('a copy that a server has written to is refused, unless it was proven before', async () => {
    const made = await copied(binary, CONFIGS.aof);
    const other = join(made.dir, 'other');
    await cp(made.copy, other, { recursive: true });
    await appendFile(await incrementOf(other), 'more');
    expect(await prepare(other)).toMatchObject({ body: { error: { code: 'RESTORE_DATA_PAST' } } });
    expect((await prepare(made.copy)).body.outcome).toBe('prepared');
    await appendFile(await incrementOf(made.copy), 'more');
    expect((await prepare(made.copy)).body.outcome).toBe('already-prepared');
  });

  it('a copy on which a server runs is refused', async () => {
    const made = await copied(binary, CONFIGS.rdb);
    const server = await RedisServer.start({ binary, dir: made.copy, config: CONFIGS.rdb });
    undo.push(() => server.kill());
    expect(await prepare(made.copy)).toMatchObject({
      code: 5,
      body: { error: { code: 'RESTORE_SERVER_RUNNING' } },
    });
  });

  it.each([
    ['an AOF', CONFIGS.aof, CONFIGS.rdb],
    ['RDB only', CONFIGS.rdb, CONFIGS.aof],
  ])(
    'a server that starts EMPTY because it uses the other persistence is not verified, with %s',
    async (_name, config, wrong) => {
      const made = await copied(binary, config);
      const server = await RedisServer.start({ binary, dir: made.copy, config: wrong });
      undo.push(() => server.kill());
      const restore = await verification(await sidecarFor(made, server));
      expect(restore).toMatchObject({ verified: false });
      expect(restore?.message).toContain('appendonly was');
      expect(restore?.message).toContain('EMPTY');
    },
  );

  it('an empty server that reports no expired keys is not verified, even if all keys could have expired', async () => {
    const { dir, remove } = await redisFolder();
    undo.push(remove);
    const startServer = async (
      name: string,
    ): Promise<{ server: RedisServer; sidecar: TestSidecar }> => {
      const data = join(dir, name);
      const server = await RedisServer.start({ binary, dir: data, config: CONFIGS.rdb });
      undo.push(() => server.kill());
      await mkdir(`${data}-q`);
      const sidecar = new TestSidecar(`${data}-q`, { ...server.env(), QUIESCE_DATA_DIR: data });
      undo.push(() => sidecar.signal('SIGKILL'));
      return { server, sidecar: await sidecar.start() };
    };
    const { server, sidecar } = await startServer('data');
    await server.admin.set('session', 'open', 'PX', 1_500);
    await sidecar.api('POST', '/v1/freeze', {});
    const receipt: unknown = (await sidecar.api('POST', '/v1/thaw', {})).body;
    const other = await startServer('empty');
    const differs = await other.sidecar.api('POST', '/v1/verify', { receipt });
    expect(differs.status).toBe(409);
    expect(JSON.stringify(differs.body)).toContain('The server is EMPTY; db0 had 1 keys.');
    await server.kill();
    await sleep(1_500);
    await server.start();
    expect(await server.admin.dbsize()).toBe(0);
    const same = await sidecar.api('POST', '/v1/verify', { receipt });
    expect(same.body).toMatchObject({ verified: true });
  });

  it('a database that lacks keys is not verified', async () => {
    const made = await copied(binary, CONFIGS.aof);
    const server = await RedisServer.start({ binary, dir: made.copy, config: CONFIGS.aof });
    undo.push(() => server.kill());
    await server.admin.del('a:list');
    const restore = await verification(await sidecarFor(made, server));
    expect(restore).toMatchObject({ verified: false });
    expect(restore?.message).toContain('lacks 1 of');
  });
});

describe('too few resources are refused before anything is held', () => {
  it('a volume without space for a save', async () => {
    const { dir, remove } = await redisFolder();
    undo.push(remove);
    const data = join(dir, 'data');
    await mkdir(data);
    expect(spawnSync('mount', ['-t', 'tmpfs', '-o', 'size=8m', 'tmpfs', data]).status).toBe(0);
    undo.push(() => spawnSync('umount', ['--lazy', data]));
    const server = await RedisServer.start({
      binary: 'redis-server',
      dir: data,
      config: CONFIGS.rdb,
    });
    undo.push(() => server.kill());
    await server.admin.set('large', 'x'.repeat(4 << 20));
    await writeFile(join(data, 'ballast'), Buffer.alloc(5 << 20));
    await mkdir(join(dir, 'q'));
    const sidecar = new TestSidecar(join(dir, 'q'), { ...server.env(), QUIESCE_DATA_DIR: data });
    undo.push(() => sidecar.signal('SIGKILL'));
    await sidecar.start();
    const refused = await sidecar.api('POST', '/v1/freeze', {});
    expect(refused.body.error).toMatchObject({ code: 'ENGINE_RESOURCES' });
    expect(await server.admin.set('still', 'writable')).toBe('OK');
  });
});
