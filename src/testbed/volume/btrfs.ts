import { mkdir, readFile, rm, truncate, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { leaveMounted, mountPoints, unmount, unmountAtExit } from './mounts.ts';
import { fingerprint, isAlive, tool } from '../os.ts';
import type { Snapshot, Volume } from './volume.ts';

const MOUNT_NAME = 'quiesce-volume';
const SIZE_BYTES = 8 * 2 ** 30;
const KEPT = 'kept';

/**
 * Makes a btrfs in a sparse file under `dir`, with a subvolume for the data. Rejects where the system
 * cannot: it needs Linux, root, `mkfs.btrfs` and a loop device.
 */
export async function makeBtrfsVolume(dir: string): Promise<Volume> {
  if (process.platform !== 'linux') throw new Error('btrfs needs Linux');
  if (process.getuid?.() !== 0) throw new Error('a btrfs mount needs root');
  const image = join(dir, `${MOUNT_NAME}.img`);
  const point = join(dir, MOUNT_NAME);
  const owner = join(dir, `${MOUNT_NAME}.owner`);
  await mkdir(point, { recursive: true });
  await writeFile(owner, await fingerprint(process.pid));
  const dispose = async (): Promise<void> => {
    await unmount(point);
    for (const path of [image, owner, point]) await rm(path, { recursive: true, force: true });
  };
  try {
    await writeFile(image, '', { mode: 0o600 });
    await truncate(image, SIZE_BYTES);
    await tool('mkfs.btrfs', '--quiet', image);
    unmountAtExit(point);
    await tool('mount', '-t', 'btrfs', '-o', 'loop,noatime', image, point);
    await tool('btrfs', 'subvolume', 'create', join(point, 'data'));
  } catch (error) {
    await dispose();
    throw error;
  }
  return {
    kind: 'btrfs',
    path: join(point, 'data'),
    reason: undefined,
    snapshot: (name) => snapshot(point, name),
    keep: async () => {
      leaveMounted(point);
      await writeFile(owner, KEPT);
    },
    dispose,
  };
}

async function snapshot(point: string, name: string): Promise<Snapshot> {
  const path = join(point, name);
  const begun = performance.now();
  await tool('btrfs', 'subvolume', 'snapshot', join(point, 'data'), path);
  const ms = performance.now() - begun;
  return { path, how: 'btrfs subvolume snapshot (atomic)', ms, stalledMs: 0 };
}

/**
 * Unmounts the volumes that killed processes left behind: those whose owner file names a process that
 * no longer runs. Kept volumes stay. Best effort: a mount that a running server still uses is unmounted
 * lazily.
 */
export async function sweepMounts(): Promise<void> {
  if (process.getuid?.() !== 0) return;
  for (const point of await mountPoints()) {
    if (!point.endsWith(`/${MOUNT_NAME}`)) continue;
    const dir = dirname(point);
    const owner = await readFile(join(dir, `${MOUNT_NAME}.owner`), 'utf8').catch(() => undefined);
    if (owner === undefined || owner === KEPT || (await isAlive(owner))) continue;
    await unmount(point).catch(() => undefined);
    await rm(join(dir, `${MOUNT_NAME}.img`), { force: true });
  }
}
