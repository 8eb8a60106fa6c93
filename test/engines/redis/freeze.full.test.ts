import { mkdir, readFile, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterEach, describe, expect, it } from 'vitest';
import { redisFolder, RedisLoad, RedisServer, SERVERS } from '../../support/redis.ts';
import { TestSidecar } from '../../support/sidecar.ts';

const undo: (() => unknown)[] = [];

afterEach(async () => {
  for (const one of undo.splice(0).toReversed()) await one();
});

const AOF = ['appendonly yes', 'save ""'];
const RDB = ['appendonly no', 'save 3600 1'];

interface Setup {
  readonly config?: readonly string[];
  readonly env?: Readonly<Record<string, string>>;
  readonly mounted?: boolean;
  readonly load?: boolean;
}

async function setup(
  binary: string,
  { config = AOF, env = {}, mounted = true, load: writes = true }: Setup = {},
) {
  const { dir, remove } = await redisFolder();
  undo.push(remove);
  const server = await RedisServer.start({ binary, dir: join(dir, 'data'), config });
  undo.push(() => server.kill());
  await mkdir(join(dir, 'q'));
  const sidecar = new TestSidecar(join(dir, 'q'), {
    ...server.env(),
    ...(mounted ? { QUIESCE_DATA_DIR: join(dir, 'data') } : {}),
    ...env,
  });
  undo.push(() => sidecar.signal('SIGKILL'));
  await sidecar.start();
  const load = new RedisLoad(server);
  undo.push(() => load.stop());
  if (writes) load.start();
  return { dir, server, sidecar, load };
}

const freeze = async (sidecar: TestSidecar, body: object = {}) =>
  await sidecar.api('POST', '/v1/freeze', body);
const thaw = async (sidecar: TestSidecar) => await sidecar.api('POST', '/v1/thaw', {});

async function stalled(load: RedisLoad, ms: number): Promise<boolean> {
  const before = load.total;
  await sleep(ms);
  return load.total === before;
}

describe.each(SERVERS)('%s', (binary) => {
  it.each([
    ['an AOF', AOF],
    ['RDB only', RDB],
  ])('writers wait during the hold and go on after the thaw, with %s', async (_name, config) => {
    const { server, sidecar, load } = await setup(binary, { config });
    const held = await freeze(sidecar);
    expect(held.body).toMatchObject({
      verdict: 'held',
      writesBlocked: true,
      engine: { role: 'primary' },
    });
    expect(await stalled(load, 400)).toBe(true);
    expect((await thaw(sidecar)).body).toMatchObject({ verdict: 'consistent', reasons: [] });
    expect(await stalled(load, 300)).toBe(false);
    expect(await server.config('auto-aof-rewrite-percentage')).toBe('100');
  });

  it('the receipt is on the volume only during the hold', async () => {
    const { dir, sidecar } = await setup(binary);
    await freeze(sidecar, { id: 'one' });
    const path = join(dir, 'data/.quiesce/receipt.json');
    expect(JSON.parse(await readFile(path, 'utf8'))).toMatchObject({
      id: 'one',
      restore: { persistence: 'aof' },
    });
    await thaw(sidecar);
    await expect(stat(path)).rejects.toThrow('ENOENT');
  });

  it('settings are restored exactly as they were found', async () => {
    const odd = [
      'appendonly yes',
      'save 7777 3 60 11',
      'auto-aof-rewrite-percentage 37',
      'appendfsync no',
      'no-appendfsync-on-rewrite yes',
    ];
    const { server, sidecar } = await setup(binary, {
      config: odd,
      env: { QUIESCE_COPY: 'files' },
    });
    const names = [
      'save',
      'auto-aof-rewrite-percentage',
      'appendfsync',
      'no-appendfsync-on-rewrite',
    ];
    const before = await Promise.all(names.map((name) => server.config(name)));
    await freeze(sidecar);
    expect(await server.config('auto-aof-rewrite-percentage')).toBe('0');
    expect(await server.config('save')).toBe('');
    expect(await server.config('appendfsync')).toBe('no');
    await thaw(sidecar);
    expect(await Promise.all(names.map((name) => server.config(name)))).toEqual(before);
  });

  it.each([
    ['auto-aof-rewrite-percentage', '55'],
    // The value that the freeze itself sets for a moment before the hold begins.
    ['appendfsync', 'always'],
  ])('%s that another client set to %s during the hold is left unchanged', async (name, value) => {
    const { server, sidecar } = await setup(binary);
    await freeze(sidecar);
    await server.admin.call('CONFIG', 'SET', name, value);
    expect((await thaw(sidecar)).body.verdict).toBe('consistent');
    expect(await server.config(name)).toBe(value);
  });

  it.each([
    ['an AOF', AOF],
    ['RDB only', RDB],
  ])(
    'a pause that another client ended during the hold is detected by the writes that went in, with %s',
    async (_name, config) => {
      const { server, sidecar } = await setup(binary, { config });
      await freeze(sidecar);
      await server.admin.call('CLIENT', 'UNPAUSE');
      await sleep(50);
      await server.admin.call('CLIENT', 'PAUSE', '60000', 'WRITE');
      const ended = await thaw(sidecar);
      expect(ended.status).toBe(409);
      expect(ended.body.receipt.reasons).toContain('writes-went-in');
    },
  );

  it('a rewrite during the hold makes the verdict inconsistent', async () => {
    const { server, sidecar } = await setup(binary);
    await freeze(sidecar);
    await server.admin.call('BGREWRITEAOF');
    await sleep(300);
    const ended = await thaw(sidecar);
    expect(ended.body.receipt?.reasons).toContain('rewritten-during-hold');
  });

  it('a server that became a replica during the hold is detected by its role', async () => {
    const { dir, server, sidecar, load } = await setup(binary);
    const other = await RedisServer.start({ binary, dir: join(dir, 'other'), config: AOF });
    undo.push(() => other.kill());
    await freeze(sidecar);
    await load.stop();
    await server.admin.call('REPLICAOF', '127.0.0.1', String(other.port));
    const ended = await thaw(sidecar);
    expect(ended.body.receipt.reasons).toContain('role-changed');
  });

  it('a sidecar that gets SIGTERM twice still releases the server before it exits', async () => {
    const { server, sidecar, load } = await setup(binary);
    expect((await freeze(sidecar)).status).toBe(200);
    process.kill(server.pid, 'SIGSTOP');
    undo.push(() => server.pid > 0 && process.kill(server.pid, 'SIGCONT'));
    process.kill(sidecar.pid, 'SIGTERM');
    await sleep(300);
    const stopped = sidecar.signal('SIGTERM');
    await sleep(300);
    process.kill(server.pid, 'SIGCONT');
    await stopped;
    expect(await stalled(load, 500)).toBe(false);
    expect(await server.config('auto-aof-rewrite-percentage')).toBe('100');
  });

  it('a server without persistence is refused: its copy could not be restored', async () => {
    const { sidecar, load } = await setup(binary, { config: ['appendonly no', 'save ""'] });
    const refused = await freeze(sidecar);
    expect(refused.status).toBe(502);
    expect(refused.body.error).toMatchObject({ code: 'ENGINE_NO_PERSISTENCE' });
    expect(refused.body.error.message).toContain('could not be restored');
    expect(await stalled(load, 300)).toBe(false);
  });

  it('a volume that is not the server’s is refused', async () => {
    const { dir, sidecar, load } = await setup(binary, { mounted: false });
    await mkdir(join(dir, 'elsewhere'));
    await sidecar.stop();
    sidecar.env['QUIESCE_DATA_DIR'] = join(dir, 'elsewhere');
    await sidecar.start();
    expect((await freeze(sidecar)).body.error.code).toBe('ENGINE_DATA_MISMATCH');
    expect(await stalled(load, 300)).toBe(false);
  });
});
