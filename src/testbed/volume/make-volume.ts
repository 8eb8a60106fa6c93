import { makeBtrfsVolume, sweepMounts } from './btrfs.ts';
import { makeStoppedCopyVolume } from './stopped-copy.ts';
import type { Volume, VolumeOptions } from './volume.ts';

/**
 * Makes a volume under `dir`, which must exist. btrfs lies on a sparse file, loop-mounted; that
 * takes root, `mkfs.btrfs` and a loop device. Mounts that a killed process left behind are removed
 * first.
 *
 * @throws when `kind` is asked for and cannot be made.
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
