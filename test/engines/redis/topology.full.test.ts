import { type ChildProcess, spawn } from 'node:child_process';
import { mkdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterEach, describe, expect, it } from 'vitest';
import { freePort } from '../../../src/testbed/postgres/server.ts';
import { POLICIES, redisFolder, RedisLoad, RedisServer, SERVERS } from '../../support/redis.ts';
import { TestSidecar } from '../../support/sidecar.ts';

const undo: (() => unknown)[] = [];

afterEach(async () => {
  for (const one of undo.splice(0).toReversed()) await one();
});

const PATIENCE = { timeout: 240_000 };
const SOON = { timeout: 60_000 };
const AOF = [...POLICIES['AOF everysec'], 'repl-diskless-sync-delay 0'];

async function folder(): Promise<string> {
  const { dir, remove } = await redisFolder();
  undo.push(remove);
  return dir;
}

async function started(
  binary: string,
  dir: string,
  more: readonly string[] = [],
): Promise<RedisServer> {
  const config = [...AOF, ...more];
  // A failover runs CONFIG REWRITE, which needs a file.
  const server = await RedisServer.start({ binary, dir, config, file: true });
  undo.push(() => server.kill());
  return server;
}

async function sidecarOf(server: RedisServer, dir: string): Promise<TestSidecar> {
  await mkdir(dir);
  const sidecar = new TestSidecar(dir, {
    ...server.env(),
    QUIESCE_DATA_DIR: server.options.dir,
  });
  undo.push(() => sidecar.signal('SIGKILL'));
  return await sidecar.start();
}

/** Watches the primary, and soon considers it down. @returns its output. */
async function sentinelOf(
  binary: string,
  primary: RedisServer,
  dir: string,
): Promise<() => string> {
  await mkdir(dir);
  const file = join(dir, 'sentinel.conf');
  const lines = [
    `port ${await freePort()}`,
    'bind 127.0.0.1',
    `dir ${dir}`,
    `sentinel monitor app 127.0.0.1 ${primary.port} 1`,
    'sentinel down-after-milliseconds app 2000',
    'sentinel failover-timeout app 10000',
  ];
  await writeFile(file, `${lines.join('\n')}\n`);
  const child: ChildProcess = spawn(binary, [file, '--sentinel'], { stdio: 'pipe' });
  undo.push(() => child.kill('SIGKILL'));
  let output = '';
  child.stdout?.on('data', (chunk: Buffer) => (output += chunk.toString()));
  const watches = async (): Promise<unknown> => {
    const reply = await primary.admin.call('PUBSUB', 'NUMSUB', '__sentinel__:hello');
    return Array.isArray(reply) ? Number(reply[1]) : 0;
  };
  await expect.poll(watches, SOON).toBe(1);
  await expect.poll(() => output, SOON).toContain('+slave');
  return () => output;
}

describe.each(SERVERS)('%s', (binary) => {
  it(
    'a Sentinel that replaces a held primary makes no setting of the freeze permanent',
    PATIENCE,
    async () => {
      const dir = await folder();
      const primary = await started(binary, join(dir, 'primary'));
      const replicaOf = [`replicaof 127.0.0.1 ${primary.port}`];
      const replica = await started(binary, join(dir, 'replica'), replicaOf);
      await expect.poll(() => replica.info('master_link_status'), SOON).toBe('up');
      const output = await sentinelOf(binary, primary, join(dir, 'sentinel'));
      const sidecar = await sidecarOf(primary, join(dir, 'q'));
      const load = new RedisLoad(primary);
      undo.push(() => load.stop());
      load.start();
      await sleep(300);
      const held = await sidecar.api('POST', '/v1/freeze', { ttl: '120s' });
      expect(held.body).toMatchObject({ verdict: 'held', reasons: ['sentinel-watches'] });
      await expect.poll(() => replica.info('role'), SOON).toBe('master');
      // The command waits in the pause, like every write.
      await expect.poll(output, SOON).toContain('+convert-to-slave');
      const thawed = await sidecar.api('POST', '/v1/thaw', {});
      // No write went in before: the copy is complete, and is the old primary's.
      expect(thawed.body).toMatchObject({ verdict: 'consistent' });
      await expect.poll(() => primary.info('role'), SOON).toBe('slave');
      const written = async (): Promise<string> =>
        await readFile(join(primary.options.dir, 'redis.conf'), 'utf8');
      await expect.poll(written, SOON).toContain(`replicaof 127.0.0.1 ${replica.port}`);
      expect(await written()).not.toContain('auto-aof-rewrite-percentage 0');
      expect(await primary.config('auto-aof-rewrite-percentage')).toBe('100');
    },
  );

  it(
    'each shard of a cluster is held alone, and its receipt says that shards share no point in time',
    PATIENCE,
    async () => {
      const dir = await folder();
      const shards: RedisServer[] = [];
      for (const [first, last] of [
        [0, 5460],
        [5461, 10922],
        [10923, 16383],
      ] as const) {
        const cluster = ['cluster-enabled yes', `cluster-port ${await freePort()}`];
        const shard = await started(binary, join(dir, `shard-${first}`), cluster);
        await shard.admin.call('CLUSTER', 'ADDSLOTSRANGE', first, last);
        shards.push(shard);
      }
      const [one, ...others] = shards as [RedisServer, ...RedisServer[]];
      for (const { port, options } of others) {
        const bus = options.config?.find((line) => line.startsWith('cluster-port'))?.split(' ')[1];
        await one.admin.call('CLUSTER', 'MEET', '127.0.0.1', port, bus ?? '');
      }
      for (const shard of shards) {
        const state = async (): Promise<string> =>
          String(await shard.admin.call('CLUSTER', 'INFO'));
        await expect.poll(state, SOON).toContain('cluster_state:ok');
      }
      for (const [at, shard] of shards.entries()) {
        const sidecar = await sidecarOf(shard, join(dir, `q${at}`));
        const load = new RedisLoad(shard);
        load.start();
        await expect.poll(() => load.total, SOON).toBeGreaterThan(0);
        const held = await sidecar.api('POST', '/v1/freeze', {});
        expect(held.body).toMatchObject({
          verdict: 'held',
          reasons: ['no-cross-shard-point'],
          engine: { identity: { mode: 'cluster' } },
        });
        const then = load.total;
        await sleep(300);
        expect(load.total).toBe(then);
        expect((await sidecar.api('POST', '/v1/thaw', {})).body.verdict).toBe('consistent');
        await load.stop();
        await sidecar.stop();
      }
    },
  );
});
