import { spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { mkdir, open, truncate, writeFile } from 'node:fs/promises';
import { mountPoints, unmount, unmountAtExit } from '../../src/testbed/volume/mounts.ts';
import { tool } from '../../src/testbed/os.ts';

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
    if (process.getuid?.() !== 0) throw new Error('a volume that can hang needs root');
    await writeFile(image, '', { mode: 0o600 });
    await truncate(image, SIZE_BYTES);
    await tool('mkfs.ext4', '-q', image);
    await mkdir(path);
    unmountAtExit(path);
    await tool('mount', '-t', 'ext4', '-o', 'loop', image, path);
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

/**
 * Covers a folder with a file system whose server never says a word, as a network volume that is gone:
 * every call on it waits, a read as well. What is returned uncovers the folder, and calls that wait fail.
 */
export async function silence(dir: string): Promise<() => Promise<void>> {
  const device = await open('/dev/fuse', 'r+');
  const options = 'fd=3,rootmode=40000,user_id=0,group_id=0';
  const mount = spawn('mount', ['-i', '-t', 'fuse', '-o', options, 'silent', dir], {
    stdio: ['ignore', 'inherit', 'inherit', device.fd],
  });
  const [code] = (await once(mount, 'exit')) as [number | null];
  if (code !== 0) throw new Error(`mount of a silent file system on ${dir} failed`);
  let covered = true;
  return async () => {
    if (!covered) return;
    covered = false;
    await device.close();
    await tool('umount', '--lazy', dir);
  };
}
