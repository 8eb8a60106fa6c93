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
import { copyFileByFile } from '../../support/file-copy.ts';
import { TestSidecar } from '../../support/sidecar.ts';

/** Set QUIESCE_TEST_TRIALS=20 for a long run. */
const TRIALS = Number(process.env['QUIESCE_TEST_TRIALS'] ?? 2);
const WITHIN_MS = 60_000 + TRIALS * 10_000;
/** Delay between the cuts of two volumes, and between the halves of a file-by-file copy. */
const APART_MS = 200;

const undo: (() => unknown)[] = [];

afterEach(async () => {
  for (const one of undo.splice(0).toReversed()) await one();
});

interface Setup {
  readonly mounted?: boolean;
  readonly copy?: 'snapshot' | 'volumes' | 'files';
}

async function world(
  binary: string,
  config: readonly string[],
  { mounted = true, copy = 'snapshot' }: Setup = {},
) {
  const { dir, remove } = await redisFolder();
  undo.push(remove);
  const volume = await makeBlockVolume(dir);
  // With a stand-in the copy includes the page cache, and would prove nothing.
  expect(volume.reason).toBeUndefined();
  undo.push(() => volume.dispose());
  const server = await RedisServer.start({ binary, dir: join(volume.path, 'data'), config });
  undo.push(() => server.kill());
  await mkdir(join(dir, 'q'));
  const sidecar = new TestSidecar(join(dir, 'q'), {
    ...server.env(),
    QUIESCE_COPY: copy,
    ...(mounted ? { QUIESCE_DATA_DIR: volume.path } : {}),
  });
  undo.push(() => sidecar.signal('SIGKILL'));
  await sidecar.start();
  const load = new RedisLoad(server);
  undo.push(() => load.stop());
  load.start();
  await sleep(300);
  /** @returns the volumes to restore from; each must be complete on its own. */
  const cut = async (name: string): Promise<string[]> => {
    if (copy === 'files') {
      const to = join(dir, name);
      await copyFileByFile(volume.path, to, { between: () => sleep(APART_MS) });
      return [to];
    }
    const first = await volume.snapshot(name);
    if (copy === 'snapshot') return [first.path];
    // All files of a server are on one volume: the other volumes are cut before or after it.
    await sleep(APART_MS);
    return [first.path, (await volume.snapshot(`${name}-late`)).path];
  };
  return { volume, server, sidecar, load, cut };
}

/** Before 7.0.11 a server's reply does not prove that it has synced. */
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
    it.each<[string, Setup]>([
      ['a block-level copy, with the volume mounted', {}],
      ['a block-level copy, by the word of the server alone', { mounted: false }],
      ['block-level copies at two moments, for other volumes', { copy: 'volumes' }],
      ['a copy file by file', { copy: 'files' }],
    ])(
      '%s: a copy made between freeze and thaw lacks no acknowledged write',
      async (_how, setup) => {
        const { server, sidecar, load, cut } = await world(binary, config, setup);
        for (let trial = 0; trial < TRIALS; trial += 1) {
          const freeze = await sidecar.api('POST', '/v1/freeze', {});
          if (setup.mounted === false && (await isOld(server))) {
            expect(freeze.body.error.code).toBe('ENGINE_VERSION');
            return;
          }
          expect(freeze.body).toMatchObject({ verdict: 'held', writesBlocked: true });
          const acked = [...load.acked];
          const copies = await cut(`cut-${trial}`);
          const thaw = await sidecar.api('POST', '/v1/thaw', {});
          expect(thaw.body).toMatchObject({ verdict: 'consistent', reasons: [] });
          for (const copy of copies) {
            expect(await missingAfterRestore(copy, binary, config, acked)).toBe(0);
          }
          await sleep(100);
        }
        expect(load.total).toBeGreaterThan(100);
        expect(await server.config('auto-aof-rewrite-percentage')).toBe('100');
        expect(await server.config('appendfsync')).toBe(
          /appendfsync (\w+)/.exec(config.join())?.[1] ?? 'everysec',
        );
      },
      WITHIN_MS,
    );
  });

  it('the same copy without a freeze lacks some, which shows that these copies can fail', async () => {
    const config = POLICIES['AOF no'];
    const { volume, load } = await world(binary, config);
    let missing = 0;
    // A copy may lack nothing if the kernel has just flushed its cache by itself.
    for (let trial = 0; missing === 0 && trial < 5; trial += 1) {
      const acked = [...load.acked];
      const { path: copy } = await volume.snapshot(`cut-${trial}`);
      missing = await missingAfterRestore(copy, binary, config, acked);
    }
    expect(missing).toBeGreaterThan(0);
  });
});
