import { spawnSync } from 'node:child_process';
import { mkdir, truncate, writeFile } from 'node:fs/promises';
import { mountPoints, unmount, unmountAtExit } from '../../src/demo/mounts.ts';
import { tool } from '../../src/demo/os.ts';

const SIZE_BYTES = 32 * 2 ** 20;

/** Volumes that hang, for the moment this process ends without having woken them. */
const hanging = new Set<string>();
process.on('exit', () => {
  for (const point of hanging) spawnSync('fsfreeze', ['--unfreeze', point]);
});

/**
 * A real file system whose writes hang on command, as those of a network volume that is gone do: no
 * call that writes returns, none can be interrupted. Needs root.
 */
export class HangingVolume {
  readonly path: string;

  private constructor(path: string) {
    this.path = path;
  }

  /** Makes an ext4 on `image` and mounts it on `path`, a folder that is made. */
  static async mount(image: string, path: string): Promise<HangingVolume> {
    await writeFile(image, '', { mode: 0o600 });
    await truncate(image, SIZE_BYTES);
    await tool('mkfs.ext4', '-q', image);
    await mkdir(path);
    unmountAtExit(path);
    await tool('mount', '-t', 'ext4', '-o', 'loop', image, path);
    await tool('rmdir', `${path}/lost+found`);
    return new HangingVolume(path);
  }

  async hang(): Promise<void> {
    // Of a folder where nothing is mounted the whole root would be frozen.
    if (!(await mountPoints()).includes(this.path)) throw new Error(`${this.path} is not mounted`);
    hanging.add(this.path);
    await tool('fsfreeze', '--freeze', this.path);
  }

  async wake(): Promise<void> {
    if (!hanging.delete(this.path)) return;
    await tool('fsfreeze', '--unfreeze', this.path);
  }

  async dispose(): Promise<void> {
    await this.wake();
    await unmount(this.path);
  }
}
