import { existsSync } from 'node:fs';
import { mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterEach, describe, expect, it } from 'vitest';
import { HangingVolume } from '../support/hanging-volume.ts';
import { redisFolder, RedisServer, writeOnce } from '../support/redis.ts';
import { TestSidecar } from '../support/sidecar.ts';

const undo: (() => unknown)[] = [];
afterEach(async () => {
  for (const one of undo.splice(0).toReversed()) await one();
});

type Hanging = 'volume' | 'state';

/**
 * A Redis server, whose writers wait during a hold, and a sidecar whose receipt or journal is on a
 * volume that can hang.
 */
async function startRig(which: Hanging, env: Readonly<Record<string, string>> = {}) {
  const { dir, remove } = await redisFolder();
  undo.push(remove);
  const data = join(dir, 'data');
  const server = await RedisServer.start({
    binary: 'redis-server',
    dir: data,
    config: ['appendonly yes', 'save ""'],
  });
  undo.push(() => server.kill());
  await mkdir(join(dir, 'q'));
  // Only the sidecar's own files hang, so that the server can go on.
  const point = which === 'volume' ? join(data, '.quiesce') : join(dir, 'q/state');
  const volume = await HangingVolume.mount(join(dir, 'image'), point);
  const sidecar = new TestSidecar(join(dir, 'q'), {
    QUIESCE_ENGINE: 'redis',
    ...server.env(),
    QUIESCE_DATA_DIR: data,
    ...env,
  });
  undo.push(
    () => volume.dispose(),
    () => sidecar.signal('SIGKILL'),
    () => volume.wake(),
  );
  await sidecar.start();
  const receipt = join(data, '.quiesce/receipt.json');
  return { server, sidecar, volume, receipt };
}

/** Fails if writers still wait after this time. */
async function expectWritable(server: RedisServer, withinMs: number): Promise<void> {
  const late = sleep(withinMs, true, { ref: false });
  expect(await Promise.race([writeOnce(server), late])).toBeUndefined();
}

describe('a volume that hangs', () => {
  it('does not stop a thaw from releasing; the thaw fails, and the receipt goes once the volume answers', async () => {
    const { server, sidecar, volume, receipt } = await startRig('volume');
    expect(await sidecar.cli('freeze', '--id', 'a')).toMatchObject({ code: 0 });
    await volume.hang();
    const thaw = await sidecar.cli('thaw', '-o', 'json');
    expect(thaw.code).toBe(7);
    expect(JSON.parse(thaw.stdout)).toMatchObject({
      error: { code: 'NOT_CONSISTENT' },
      receipt: {
        verdict: 'inconsistent',
        reasons: expect.arrayContaining(['receipt-not-removed']),
      },
    });
    await expectWritable(server, 1_000);
    // A copy would carry the receipt of the previous freeze.
    const next = await sidecar.cli('freeze', '--timeout', '1s');
    expect(next.code).toBe(6);
    await volume.wake();
    await expect.poll(() => existsSync(receipt), { timeout: 5_000 }).toBe(false);
    await expect
      .poll(async () => (await sidecar.status()).state, { timeout: 5_000 })
      .toBe('thawed');
    expect(await sidecar.cli('freeze')).toMatchObject({ code: 0 });
    expect(await sidecar.cli('thaw')).toMatchObject({ code: 0 });
  });

  it('does not delay the end of the lease', async () => {
    const { server, sidecar, volume } = await startRig('volume');
    expect((await sidecar.api('POST', '/v1/freeze', { id: 'a', ttl: '30s' })).status).toBe(200);
    await volume.hang();
    const renewal = { id: 'a', ttl: '1s', renew: true };
    // Redis' own limit does not shorten its pause: only the sidecar ends it this soon.
    expect((await sidecar.api('POST', '/v1/freeze', renewal)).status).toBe(200);
    await expectWritable(server, 9_000);
    const [last] = (await sidecar.api('GET', '/v1/receipts')).body.receipts;
    expect(last.reasons).toEqual(['lease-expired', 'receipt-not-removed']);
  });

  it('does not delay the release at SIGTERM', async () => {
    const { server, sidecar, volume } = await startRig('volume');
    expect((await sidecar.api('POST', '/v1/freeze', {})).status).toBe(200);
    await volume.hang();
    process.kill(sidecar.pid, 'SIGTERM');
    await expectWritable(server, 9_000);
    await volume.wake();
    await sidecar.signal('SIGTERM');
  });

  it('does not delay the release at the next start', async () => {
    const { server, sidecar, volume, receipt } = await startRig('volume');
    expect((await sidecar.api('POST', '/v1/freeze', {})).status).toBe(200);
    await sidecar.signal('SIGKILL');
    await volume.hang();
    await sidecar.start('live');
    await expectWritable(server, 9_000);
    await volume.wake();
    await expect.poll(() => existsSync(receipt), { timeout: 5_000 }).toBe(false);
  });

  it('makes a freeze fail at its timeout, with nothing held and no receipt afterwards', async () => {
    const { server, sidecar, volume, receipt } = await startRig('volume');
    await volume.hang();
    expect((await sidecar.cli('freeze', '--timeout', '2s')).code).toBe(6);
    await expectWritable(server, 1_000);
    await volume.wake();
    await expect
      .poll(async () => (await sidecar.status()).state, { timeout: 15_000 })
      .toBe('thawed');
    await sleep(1_500);
    expect(existsSync(receipt)).toBe(false);
    expect(await sidecar.cli('freeze')).toMatchObject({ code: 0 });
    expect(await sidecar.cli('thaw')).toMatchObject({ code: 0 });
  });
});

describe('a state directory that hangs', () => {
  it('does not stop a thaw from releasing and answering', async () => {
    const { server, sidecar, volume } = await startRig('state');
    expect(await sidecar.cli('freeze', '--id', 'a')).toMatchObject({ code: 0 });
    await volume.hang();
    expect(await sidecar.cli('thaw')).toMatchObject({ code: 0 });
    await expectWritable(server, 1_000);
    expect((await sidecar.cli('freeze', '--timeout', '1s')).code).toBe(6);
    await volume.wake();
    await expect
      .poll(async () => (await sidecar.status()).state, { timeout: 15_000 })
      .toBe('thawed');
    await expect
      .poll(() => existsSync(join(volume.path, 'open.json')), { timeout: 5_000 })
      .toBe(false);
    expect(await sidecar.cli('freeze')).toMatchObject({ code: 0 });
    expect(await sidecar.cli('thaw')).toMatchObject({ code: 0 });
  });
});
