import { spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { mkdir, open, truncate, writeFile } from 'node:fs/promises';
import { mountPoints, unmount, unmountAtExit } from '../../src/testbed/volume/mounts.ts';
import { tool } from '../../src/testbed/os.ts';

const SIZE_BYTES = 32 * 2 ** 20;

/** Volumes that hang now: they must be woken when this process ends. */
const hanging = new Set<string>();
process.on('exit', () => {
  for (const point of hanging) spawnSync('fsfreeze', ['--unfreeze', point]);
});

/**
 * A real file system whose writes hang on command, like those of a lost network volume: no write returns,
 * and none can be interrupted. Needs root.
 */
export class HangingVolume {
  readonly path: string;

  private constructor(path: string) {
    this.path = path;
  }

  /** Creates an ext4 file system in `image` and mounts it on the new folder `path`. */
  static async mount(image: string, path: string): Promise<HangingVolume> {
    if (process.getuid?.() !== 0) throw new Error('run as root: a volume that hangs is mounted');
    await writeFile(image, '', { mode: 0o600 });
    await truncate(image, SIZE_BYTES);
    await tool('mkfs.ext4', '-q', image);
    await mkdir(path);
    unmountAtExit(path);
    await tool('mount', '-t', 'ext4', '-o', 'loop', image, path);
    return new HangingVolume(path);
  }

  async hang(): Promise<void> {
    // If nothing is mounted on the folder, fsfreeze would freeze the whole root file system.
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
 * Mounts a file system whose server never answers over a folder, like a lost network volume: every call
 * on it waits, reads included. The function returned unmounts it, and the waiting calls fail.
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
