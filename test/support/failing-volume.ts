import { mkdir, rm, statfs, truncate, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { unmount, unmountAtExit } from '../../src/testbed/volume/mounts.ts';
import { tool } from '../../src/testbed/os.ts';

const DEVICE_BYTES = 64 * 2 ** 20;

/**
 * A real ext4 whose device loses writes on command: its blocks are in a sparse file on a file system that
 * is then full. The kernel takes the writes, and reports an input/output error when it writes them back.
 * Blocks that were written before are not affected. Needs root.
 */
export class FailingVolume {
  readonly path: string;
  readonly #below: string;

  private constructor(path: string, below: string) {
    this.path = path;
    this.#below = below;
  }

  /** @param dir a folder of its own */
  static async mount(dir: string): Promise<FailingVolume> {
    if (process.getuid?.() !== 0) throw new Error('run as root: a volume that fails is mounted');
    const [below, path] = [join(dir, 'below'), join(dir, 'volume')];
    const image = join(below, 'device');
    for (const folder of [below, path]) {
      await mkdir(folder);
      unmountAtExit(folder);
    }
    await tool('mount', '-t', 'tmpfs', '-o', 'size=32m', 'failing', below);
    await writeFile(image, '', { mode: 0o600 });
    await truncate(image, DEVICE_BYTES);
    // Without a journal only data fails; otherwise the file system would turn read-only at once.
    await tool('mkfs.ext4', '-q', '-O', '^has_journal', '-E', 'nodiscard', image);
    await tool('mount', '-t', 'ext4', '-o', 'loop', image, path);
    return new FailingVolume(path, below);
  }

  async fail(): Promise<void> {
    const { bavail, bsize } = await statfs(this.#below);
    await writeFile(join(this.#below, 'ballast'), Buffer.alloc(bavail * bsize));
  }

  async mend(): Promise<void> {
    await rm(join(this.#below, 'ballast'));
  }

  async dispose(): Promise<void> {
    await unmount(this.path).catch(() => undefined);
    await unmount(this.#below);
  }
}
