import { mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterEach, describe, expect, it } from 'vitest';
import {
  missingOn,
  POLICIES,
  redisFolder,
  RedisLoad,
  RedisServer,
  SERVERS,
} from '../../support/redis.ts';
import { makeBlockVolume } from '../../support/block-volume.ts';
import { TestSidecar } from '../../support/sidecar.ts';

const TRIALS = Number(process.env['QUIESCE_TEST_TRIALS'] ?? 2);

const undo: (() => unknown)[] = [];

afterEach(async () => {
  for (const one of undo.splice(0).toReversed()) await one();
});

async function world(binary: string, config: readonly string[], mounted: boolean) {
  const { dir, remove } = await redisFolder();
  undo.push(remove);
  const volume = await makeBlockVolume(dir);
  // With a stand-in the page cache is in the copy, and it would prove nothing.
  expect(volume.reason).toBeUndefined();
  undo.push(() => volume.dispose());
  const server = await RedisServer.start({ binary, dir: join(volume.path, 'data'), config });
  undo.push(() => server.kill());
  await mkdir(join(dir, 'q'));
  const sidecar = new TestSidecar(join(dir, 'q'), {
    ...server.env(),
    ...(mounted ? { QUIESCE_DATA_DIR: volume.path } : {}),
  });
  undo.push(() => sidecar.signal('SIGKILL'));
  await sidecar.start();
  const load = new RedisLoad(server);
  undo.push(() => load.stop());
  load.start();
  await sleep(300);
  return { volume, server, sidecar, load };
}

/** Before 7.0.11 a server does not prove by its answer that it has synced. */
async function isOld(server: RedisServer): Promise<boolean> {
  const [major = 0, minor = 0, patch = 0] = (await server.info('redis_version'))
    .split('.')
    .map(Number);
  return major < 7 || (major === 7 && minor === 0 && patch < 11);
}

async function missingAfterRestore(
  copy: string,
  binary: string,
  config: readonly string[],
  acked: readonly number[],
) {
  const restored = await RedisServer.start({ binary, dir: join(copy, 'data'), config });
  try {
    return await missingOn(restored, acked);
  } finally {
    await restored.kill();
  }
}

describe.each(SERVERS)('%s', (binary) => {
  describe.each(Object.entries(POLICIES))('%s', (_name, config) => {
    it.each([
      ['with the volume mounted', true],
      ['by the word of the server alone', false],
    ])(
      'a block-level copy cut between freeze and thaw misses no acknowledged write, %s',
      async (_how, mounted) => {
        const { volume, server, sidecar, load } = await world(binary, config, mounted);
        for (let trial = 0; trial < TRIALS; trial += 1) {
          const freeze = await sidecar.api('POST', '/v1/freeze', {});
          if (!mounted && (await isOld(server))) {
            expect(freeze.body.error.code).toBe('ENGINE_VERSION');
            return;
          }
          expect(freeze.body).toMatchObject({ verdict: 'held', writesBlocked: true });
          const acked = [...load.acked];
          const copy = (await volume.snapshot(`cut-${trial}`)).path;
          const thaw = await sidecar.api('POST', '/v1/thaw', {});
          expect(thaw.body).toMatchObject({ verdict: 'consistent', reasons: [] });
          expect(await missingAfterRestore(copy, binary, config, acked)).toBe(0);
          await sleep(100);
        }
        expect(load.total).toBeGreaterThan(100);
        expect(await server.config('auto-aof-rewrite-percentage')).toBe('100');
        expect(await server.config('appendfsync')).toBe(
          /appendfsync (\w+)/.exec(config.join())?.[1] ?? 'everysec',
        );
      },
    );
  });

  it('the same copy without a freeze misses some, so the copies show what a freeze is for', async () => {
    const config = POLICIES['AOF no'];
    const { volume, load } = await world(binary, config, true);
    const acked = [...load.acked];
    const { path: copy } = await volume.snapshot('cut');
    expect(await missingAfterRestore(copy, binary, config, acked)).toBeGreaterThan(0);
  });
});
