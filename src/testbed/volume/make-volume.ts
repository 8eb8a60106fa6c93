import { makeBtrfsVolume, sweepMounts } from './btrfs.ts';
import { makeStoppedCopyVolume } from './stopped-copy.ts';
import type { Volume, VolumeOptions } from './volume.ts';

/**
 * Makes a volume under `dir`, which must exist. A btrfs is in a loop-mounted sparse file; it needs
 * root, `mkfs.btrfs` and a loop device. Mounts that killed processes left behind are removed first.
 *
 * @throws when `options.kind` is set and that kind cannot be made.
 */
export async function makeVolume(dir: string, options: VolumeOptions = {}): Promise<Volume> {
  await sweepMounts();
  if (options.kind === 'stopped-copy') return makeStoppedCopyVolume(dir, options, undefined);
  try {
    return await makeBtrfsVolume(dir);
  } catch (error) {
    if (options.kind === 'btrfs') throw error;
    return makeStoppedCopyVolume(dir, options, (error as Error).message);
  }
}
