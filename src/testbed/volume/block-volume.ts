import { constants } from 'node:fs';
import { copyFile, mkdir, readFile, rm, truncate, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { makeBtrfsVolume } from './btrfs.ts';
import { mountPoints, unmount, unmountAtExit } from './mounts.ts';
import { isAlive, tool } from '../os.ts';
import { makeVolume } from './make-volume.ts';
import type { Volume } from './volume.ts';

const SIZE_BYTES = 4 * 2 ** 30;
const MOUNT_NAME = 'quiesce-block';
/** Written by the btrfs below, in the same folder. */
const OWNER_NAME = 'quiesce-volume.owner';

/**
 * A volume as a storage system has it: a block device of its own, with ext4. `snapshot` copies the
 * device, at one moment and without stopping anybody, as CSI snapshots do: what the kernel still has
 * in its page cache is not in the copy. A server's write is there only once it was synced or the
 * kernel wrote it back.
 */
export interface BlockVolume extends Pick<Volume, 'path' | 'snapshot' | 'dispose'> {
  /** `stopped-copy`: a folder, copied while the server stands still, with the page cache. */
  readonly kind: 'block' | 'stopped-copy';
  /** Why it is not a block volume. */
  readonly reason: string | undefined;
}

export interface BlockVolumeOptions {
  /** A name for the folder under `dir`; default `volume`. Several volumes need several. */
  readonly name?: string;
  /** The process id of the server on it: for the stand-in, which stops it to copy. */
  readonly postmaster?: () => number | undefined;
}

/**
 * Makes a block volume under `dir`: an ext4 on a file, whose atomic copies are reflinks on the btrfs it
 * lies on (on a sparse file). Copies are mounted beside it, with the owners and modes of the original.
 * Where this is not root the stand-in is a folder, and `reason` and each copy's `how` say so.
 */
export async function makeBlockVolume(
  dir: string,
  { name = 'volume', postmaster }: BlockVolumeOptions = {},
): Promise<BlockVolume> {
  const root = join(dir, name);
  await mkdir(root, { recursive: true });
  await sweepBlockVolumes();
  try {
    return await onDevice(root);
  } catch (error) {
    const reason = (error as Error).message;
    const volume = await makeVolume(root, {
      kind: 'stopped-copy',
      ...(postmaster && { postmaster }),
    });
    return {
      kind: 'stopped-copy',
      reason,
      path: volume.path,
      dispose: () => volume.dispose(),
      snapshot: async (as) => {
        const copy = await volume.snapshot(as);
        return { ...copy, how: `${copy.how}; the page cache is in it, since: ${reason}` };
      },
    };
  }
}

async function onDevice(root: string): Promise<BlockVolume> {
  const below = await makeBtrfsVolume(root);
  const device = join(below.path, 'device');
  const points: string[] = [];
  const mount = async (image: string, point: string): Promise<void> => {
    await mkdir(point);
    unmountAtExit(point);
    points.push(point);
    await tool('mount', '-t', 'ext4', '-o', 'loop,noatime', image, point);
  };
  const dispose = async (): Promise<void> => {
    for (const point of points.splice(0).toReversed()) {
      await unmount(point);
      await rm(point, { recursive: true, force: true });
    }
    await below.dispose();
  };
  const path = join(root, MOUNT_NAME);
  try {
    await writeFile(device, '', { mode: 0o600 });
    await truncate(device, SIZE_BYTES);
    await tool('mkfs.ext4', '-q', '-E', 'nodiscard', device);
    await mount(device, path);
  } catch (error) {
    await dispose();
    throw error;
  }
  return {
    kind: 'block',
    path,
    reason: undefined,
    dispose,
    snapshot: async (as) => {
      const image = join(below.path, as);
      const begun = performance.now();
      await copyFile(device, image, constants.COPYFILE_FICLONE_FORCE | constants.COPYFILE_EXCL);
      const ms = performance.now() - begun;
      const point = join(root, `${MOUNT_NAME}-${as}`);
      await mount(image, point);
      const how = 'copy of the block device (atomic, without the page cache)';
      return { path: point, how, ms, stalledMs: 0 };
    },
  };
}

/** Unmounts the block volumes, and their copies, of processes that were killed before they could. */
export async function sweepBlockVolumes(): Promise<void> {
  if (process.getuid?.() !== 0) return;
  const points = (await mountPoints()).filter((point) => point.includes(`/${MOUNT_NAME}`));
  for (const point of points.toReversed()) {
    const owner = await readFile(join(dirname(point), OWNER_NAME), 'utf8').catch(() => undefined);
    if (owner === undefined || (await isAlive(owner))) continue;
    await unmount(point).catch(() => undefined);
  }
}
