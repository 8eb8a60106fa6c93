import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { appendFile, mkdir, rm, stat, truncate, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { Sealer } from '../../src/engines/shared/seal/seal.ts';
import { syncFile } from '../../src/engines/shared/seal/sync-file.ts';
import { SealingEngine } from '../../src/engines/sealing.ts';
import { unmount, unmountAtExit } from '../../src/testbed/volume/mounts.ts';
import { tool } from '../../src/testbed/os.ts';
import { CoordinatorRig, by, failure } from '../support/coordinator-rig.ts';
import { FailingVolume } from '../support/failing-volume.ts';
import { HangingVolume, silence } from '../support/hanging-volume.ts';
import { SEAL_CONTEXT as context } from '../support/seal.ts';
import { makeTempDir } from '../support/temp-dir.ts';

const CONTENT = Buffer.alloc(2 ** 20, 'x');
const never = (): AbortSignal => new AbortController().signal;

let dir: string;
const undo: (() => unknown)[] = [];
beforeEach(async () => {
  dir = await makeTempDir();
  undo.push(() => rm(dir, { recursive: true, force: true }));
});
afterEach(async () => {
  for (const step of undo.splice(0).toReversed()) await step();
});

const sealerOf = (path: string): Sealer => new Sealer(path, async () => false);

async function outcomeOf(path: string): Promise<string> {
  const outcome = await syncFile(path, false);
  return outcome.type;
}

/** Another process syncs the file, and so is the first to be told of an error. */
async function syncElsewhere(path: string): Promise<number | null> {
  const child = spawn('sync', [path], { stdio: 'ignore' });
  return ((await once(child, 'exit')) as [number | null])[0];
}

describe('on a device that loses writes', () => {
  let volume: FailingVolume;
  let conf: string;
  beforeEach(async () => {
    volume = await FailingVolume.mount(dir);
    undo.push(() => volume.dispose());
    conf = join(volume.path, 'server.conf');
    await writeFile(conf, 'old\n');
    await tool('sync', '-f', volume.path);
  });

  it('the freeze fails and so does its repetition, until the file is written again', async () => {
    const rig = await CoordinatorRig.make();
    undo.push(() => rig.remove());
    const engine = new SealingEngine(rig.engine, volume.path);
    const coordinator = await rig.next({ engine });
    await volume.fail();
    await appendFile(conf, CONTENT);
    for (const id of ['first', 'again']) {
      const error = await failure(coordinator.freeze({ id, by }));
      expect(error).toMatchObject({
        code: 'VOLUME_NOT_SYNCED',
        message: expect.stringMatching(/^server\.conf on the data volume .*\((EIO|ENOSPC)\)/),
      });
    }
    expect(rig.engine.held).toBe(0);
    // The reason for remembering it: the kernel has reported the error, and says nothing any more.
    expect(await outcomeOf(conf)).toBe('synced');
    await volume.mend();
    await writeFile(conf, 'new\n');
    expect(await coordinator.freeze({ id: 'mended', by })).toMatchObject({ unsynced: [] });
    expect(await coordinator.thaw({ id: 'mended', by })).toMatchObject({
      verdict: 'consistent',
    });
  });

  it('a descriptor of the first look sees an error that another process was told before', async () => {
    const seal = await sealerOf(volume.path).begin(context, never());
    undo.push(() => seal.close());
    await seal.first();
    await volume.fail();
    await appendFile(conf, CONTENT);
    expect(await syncElsewhere(conf)).not.toBe(0);
    expect(await outcomeOf(conf), 'a new descriptor').toBe('synced');
    await expect(seal.again()).rejects.toMatchObject({ code: 'VOLUME_NOT_SYNCED' });
  });

  it('a write that is lost during the hold makes the thaw inconsistent', async () => {
    const rig = await CoordinatorRig.make();
    undo.push(() => rig.remove());
    const engine = new SealingEngine(rig.engine, volume.path);
    const coordinator = await rig.next({ engine });
    expect(await coordinator.freeze({ id: 'held', by })).toMatchObject({ unsynced: [] });
    await volume.fail();
    await appendFile(conf, CONTENT);
    expect(await syncElsewhere(conf)).not.toBe(0);
    const error = await failure(coordinator.thaw({ id: 'held', by }));
    expect(error).toMatchObject({
      code: 'NOT_CONSISTENT',
      details: { receipt: { reasons: ['write-failed'] } },
    });
    expect(rig.engine.held).toBe(0);
  });
});

/** An ext4 whose device hangs: its blocks are in a file on a file system that hangs. */
async function hangingDevice(): Promise<{ below: HangingVolume; path: string }> {
  const below = await HangingVolume.mount(join(dir, 'image'), join(dir, 'below'));
  undo.push(() => below.dispose());
  const [image, path] = [join(below.path, 'device'), join(dir, 'volume')];
  await writeFile(image, '');
  await truncate(image, 16 * 2 ** 20);
  await tool('mkfs.ext4', '-q', '-E', 'nodiscard', image);
  await mkdir(path);
  unmountAtExit(path);
  await tool('mount', '-t', 'ext4', '-o', 'loop', image, path);
  undo.push(async () => {
    await below.wake();
    await unmount(path);
  });
  return { below, path };
}

it('an fsync that hangs is bounded: the freeze goes on, names the file, and keeps one thread', async () => {
  const { below, path } = await hangingDevice();
  await writeFile(join(path, 'clean.conf'), 'x');
  await tool('sync', '-f', path);
  const sealer = sealerOf(path);
  await below.hang();
  await appendFile(join(path, 'clean.conf'), CONTENT);
  const begun = performance.now();
  for (const round of [1, 2, 3]) {
    const hurried = { ...context, remainingMs: () => 2_000 };
    const seal = await sealer.begin(hurried, never());
    await seal.first();
    await seal.again();
    expect(seal.unsynced.join(), `round ${round}`).toMatch(/clean\.conf|has not returned/);
    seal.close();
  }
  expect(performance.now() - begun).toBeLessThan(15_000);
  // Not all threads of the pool hang: other files answer.
  expect((await stat(dir)).isDirectory()).toBe(true);
  await below.wake();
  await expect
    .poll(async () => {
      const seal = await sealer.begin(context, never());
      await seal.first();
      await seal.again();
      seal.close();
      return seal.unsynced;
    })
    .toEqual([]);
});

it('a volume that does not even list its files is bounded, and the receipt says so', async () => {
  const path = join(dir, 'silent');
  await mkdir(path);
  const sealer = sealerOf(path);
  const answer = await silence(path);
  undo.push(answer);
  for (let round = 0; round < 3; round += 1) {
    const begun = performance.now();
    const seal = await sealer.begin({ ...context, remainingMs: () => 1_000 }, never());
    await seal.first();
    await seal.again();
    expect(seal.unsynced.at(-1)).toMatch(/^… and more: /);
    expect(performance.now() - begun).toBeLessThan(5_000);
    seal.close();
  }
  const abort = new AbortController();
  const seal = await sealerOf(path).begin(context, abort.signal);
  setTimeout(() => abort.abort(new Error('given up')), 50);
  await expect(seal.first()).rejects.toThrow('given up');
});
