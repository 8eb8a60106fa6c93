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
/** Written by the underlying btrfs volume, in the same folder. */
const OWNER_NAME = 'quiesce-volume.owner';

/**
 * A volume as a storage system provides it: its own block device, with ext4. `snapshot` copies the
 * device atomically and without stopping a process, as CSI snapshots do, so the copy lacks what is
 * only in the kernel's page cache. It contains a server's write only if that was synced, or if the
 * kernel had written it back.
 */
export interface BlockVolume extends Pick<Volume, 'path' | 'snapshot' | 'dispose'> {
  /** `stopped-copy`: a folder, copied while the server is stopped; the copy includes the page cache. */
  readonly kind: 'block' | 'stopped-copy';
  /** Why it is not a block volume; `undefined` if it is. */
  readonly reason: string | undefined;
}

export interface BlockVolumeOptions {
  /** The name of the folder under `dir`; default `volume`. Each volume needs its own. */
  readonly name?: string;
  /** The process id of the server on it, which a `stopped-copy` stops while it copies. */
  readonly postmaster?: () => number | undefined;
}

/**
 * Makes a block volume under `dir`: an ext4 in a file on a btrfs, which is itself in a sparse file.
 * Atomic copies are reflinks on that btrfs. Each copy is mounted next to the volume, with the owners
 * and modes of the original. If the block volume cannot be made (it needs root), a `stopped-copy`
 * folder is used instead; `reason` and each copy's `how` say so.
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
        return { ...copy, how: `${copy.how}; it includes the page cache, because: ${reason}` };
      },
    };
  }
}

async function onDevice(root: string): Promise<BlockVolume> {
  const btrfs = await makeBtrfsVolume(root);
  const device = join(btrfs.path, 'device');
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
    await btrfs.dispose();
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
      const image = join(btrfs.path, as);
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

/** Unmounts the block volumes, and their copies, that killed processes left behind. */
export async function sweepBlockVolumes(): Promise<void> {
  if (process.getuid?.() !== 0) return;
  const points = (await mountPoints()).filter((point) => point.includes(`/${MOUNT_NAME}`));
  for (const point of points.toReversed()) {
    const owner = await readFile(join(dirname(point), OWNER_NAME), 'utf8').catch(() => undefined);
    if (owner === undefined || (await isAlive(owner))) continue;
    await unmount(point).catch(() => undefined);
  }
}
