import { mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterEach, describe, expect, it } from 'vitest';
import { redisFolder, RedisLoad, RedisServer, SERVERS } from '../../support/redis.ts';
import { TestSidecar } from '../../support/sidecar.ts';

const undo: (() => unknown)[] = [];

afterEach(async () => {
  for (const one of undo.splice(0).toReversed()) await one();
});

const AOF = ['appendonly yes', 'save ""', 'repl-diskless-sync-delay 0'];

async function pair(binary: string, config: readonly string[] = AOF) {
  const { dir, remove } = await redisFolder();
  undo.push(remove);
  const primary = await RedisServer.start({ binary, dir: join(dir, 'primary'), config });
  undo.push(() => primary.kill());
  const replica = await RedisServer.start({
    binary,
    dir: join(dir, 'replica'),
    config: [...config, `replicaof 127.0.0.1 ${primary.port}`],
  });
  undo.push(() => replica.kill());
  await expect.poll(() => replica.info('master_link_status'), { timeout: 20_000 }).toBe('up');
  await mkdir(join(dir, 'q'));
  const sidecar = new TestSidecar(join(dir, 'q'), {
    ...replica.env(),
    QUIESCE_DATA_DIR: join(dir, 'replica'),
  });
  undo.push(() => sidecar.signal('SIGKILL'));
  await sidecar.start();
  const load = new RedisLoad(primary);
  undo.push(() => load.stop());
  load.start();
  await sleep(300);
  return { dir, primary, replica, sidecar, load };
}

describe.each(SERVERS)('%s', (binary) => {
  it.each([
    ['an AOF', AOF],
    ['RDB only', ['appendonly no', 'save 3600 1', 'repl-diskless-sync-delay 0']],
  ])(
    'a frozen replica has every write its primary acknowledged, does not change, and stalls no writer, with %s',
    async (_name, config) => {
      const { replica, sidecar, load } = await pair(binary, config);
      const acked = load.total;
      const before = [...load.acked];
      expect(acked).toBeGreaterThan(0);
      const held = await sidecar.api('POST', '/v1/freeze', {});
      expect(held.body).toMatchObject({
        verdict: 'held',
        writesBlocked: false,
        engine: { role: 'replica' },
      });
      const { primaryOffset, offset } = held.body.position;
      expect(offset).toBeGreaterThanOrEqual(primaryOffset);
      for (const [writer, count] of before.entries()) {
        const value = (await replica.admin.get(`writer:${writer}`)) ?? '';
        expect(Number(value.split(':')[0])).toBeGreaterThanOrEqual(count);
      }
      const still = await replica.admin.get('writer:0');
      await sleep(500);
      expect(await replica.admin.get('writer:0')).toBe(still);
      expect(load.total).toBeGreaterThan(acked);
      const ended = await sidecar.api('POST', '/v1/thaw', {});
      expect(ended.body).toMatchObject({ verdict: 'consistent' });
      await expect.poll(() => replica.admin.get('writer:0')).not.toBe(still);
    },
  );

  it('a replica of a replica waits for the primary’s position, not for that of the replica in between', async () => {
    const { dir, replica: between, load } = await pair(binary);
    const replicaOf = `replicaof 127.0.0.1 ${between.port}`;
    const config = [...AOF, replicaOf];
    const last = await RedisServer.start({ binary, dir: join(dir, 'last'), config });
    undo.push(() => last.kill());
    await expect.poll(() => last.info('master_link_status'), { timeout: 20_000 }).toBe('up');
    await mkdir(join(dir, 'q-last'));
    const sidecar = new TestSidecar(join(dir, 'q-last'), last.env());
    undo.push(() => sidecar.signal('SIGKILL'));
    await sidecar.start();
    await between.admin.call('CLIENT', 'PAUSE', '60000', 'WRITE');
    await sleep(300);
    const late = await sidecar.api('POST', '/v1/freeze', { timeout: '1s' });
    expect(late.body.error).toMatchObject({ code: 'FREEZE_TIMEOUT' });
    await between.admin.call('CLIENT', 'UNPAUSE');
    await load.stop();
    const held = await sidecar.api('POST', '/v1/freeze', {});
    expect(held.body).toMatchObject({ verdict: 'held', engine: { role: 'replica' } });
    const written = load.acked.findIndex((count) => count > 0);
    expect(await last.admin.get(`writer:${written}`)).toContain(`${load.acked[written]}:`);
    expect((await sidecar.api('POST', '/v1/thaw', {})).body.verdict).toBe('consistent');
  });

  it('a replica disconnected from its primary is refused', async () => {
    const { primary, sidecar, load } = await pair(binary);
    await load.stop();
    await primary.kill();
    const refused = await sidecar.api('POST', '/v1/freeze', {});
    expect(refused.body.error.code).toBe('ENGINE_NOT_STREAMING');
  });

  it.each([
    ['mounted', true, 'files-replaced'],
    ['not mounted', false, 'replication-interrupted'],
  ])(
    'a full synchronization of a replica with RDB only during the hold is detected, with %s files',
    async (_name, mounted, reason) => {
      const config = ['appendonly no', 'save 3600 1', 'repl-diskless-sync-delay 0'];
      const { primary, replica, sidecar, load } = await pair(binary, [
        ...config,
        'repl-backlog-size 16kb',
      ]);
      await load.stop();
      await sidecar.stop();
      if (!mounted) delete sidecar.env['QUIESCE_DATA_DIR'];
      await sidecar.start();
      expect((await sidecar.api('POST', '/v1/freeze', {})).body.verdict).toBe('held');
      await primary.admin.set('large', 'x'.repeat(1 << 20));
      await primary.admin.call('CLIENT', 'KILL', 'TYPE', 'replica');
      await expect.poll(() => replica.admin.exists('large'), { timeout: 20_000 }).toBe(1);
      await expect.poll(() => replica.info('loading'), { timeout: 20_000 }).toBe('0');
      const ended = await sidecar.api('POST', '/v1/thaw', {});
      expect(ended.status).toBe(409);
      expect(ended.body.receipt.reasons).toEqual([reason]);
    },
  );

  it('a replica that loads data from its primary is not reported as restarted', async () => {
    const slow = ['key-load-delay 50000', 'loading-process-events-interval-bytes 1024'];
    const { primary, replica, sidecar, load } = await pair(binary, [
      ...AOF,
      'repl-backlog-size 16kb',
      ...slow,
    ]);
    await load.stop();
    expect((await sidecar.api('POST', '/v1/freeze', { id: 'filled' })).body.verdict).toBe('held');
    for (let key = 0; key < 100; key += 1) await primary.admin.set(`k${key}`, 'x'.repeat(2_000));
    await primary.admin.call('CLIENT', 'KILL', 'TYPE', 'replica');
    await expect.poll(() => replica.info('loading'), { timeout: 20_000 }).toBe('1');
    await expect
      .poll(async () => (await sidecar.status()).state, { timeout: 20_000 })
      .toBe('thawed');
    const { body } = await sidecar.api('GET', '/v1/receipts/filled');
    expect(body.reasons).toContain('data-reloaded');
    expect(body.reasons).not.toContain('server-restarted');
  });

  it('a replica without its volume is consistent while its primary sends a lot of data', async () => {
    const { sidecar } = await pair(binary, [
      'appendonly no',
      'save 3600 1',
      'repl-diskless-sync-delay 0',
    ]);
    await sidecar.stop();
    delete sidecar.env['QUIESCE_DATA_DIR'];
    await sidecar.start();
    expect((await sidecar.api('POST', '/v1/freeze', {})).body.verdict).toBe('held');
    await sleep(2_000);
    expect((await sidecar.api('POST', '/v1/thaw', {})).body.verdict).toBe('consistent');
  });

  it('a replica that is promoted during the hold is detected by its role', async () => {
    const { replica, sidecar } = await pair(binary);
    await sidecar.api('POST', '/v1/freeze', {});
    await replica.admin.call('REPLICAOF', 'NO', 'ONE');
    const ended = await sidecar.api('POST', '/v1/thaw', {});
    expect(ended.body.receipt.reasons).toContain('role-changed');
  });

  it('metadata shows the lag on both sides', async () => {
    const { primary, sidecar, load } = await pair(binary);
    await load.stop();
    const { body } = await sidecar.api('GET', '/v1/metadata');
    expect(body.replication.primary).toMatchObject({
      address: `127.0.0.1:${primary.port}`,
      link: 'up',
    });
    expect(body.server.role).toBe('replica');
  });

  it('the receipt of a primary watched by a Sentinel warns of a long hold', async () => {
    const { dir, primary, load } = await pair(binary);
    await load.stop();
    const sentinel = join(dir, 'sentinel');
    await mkdir(sentinel);
    const sidecar = new TestSidecar(join(dir, 'q2'), primary.env());
    await mkdir(sidecar.dir);
    undo.push(() => sidecar.signal('SIGKILL'));
    await sidecar.start();
    const watcher = primary.connect();
    undo.push(() => watcher.disconnect());
    await watcher.subscribe('__sentinel__:hello');
    const held = await sidecar.api('POST', '/v1/freeze', {});
    expect(held.body.reasons).toEqual(['sentinel-watches']);
    expect((await sidecar.api('POST', '/v1/thaw', {})).body.verdict).toBe('consistent');
  });
});
