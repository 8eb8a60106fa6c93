import { spawnSync } from 'node:child_process';
import { existsSync } from 'node:fs';
import { rm, statfs, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { unmount } from '../../src/testbed/volume/mounts.ts';
import { tool } from '../../src/testbed/os.ts';

const STATE_SIZE = '256k';
const REFUSE_TRIES = 40;
const mounts = new Set<string>();
process.on('exit', () => {
  for (const point of mounts) spawnSync('umount', ['--lazy', point]);
});

/** Faults of the file systems of data and journal, and of `.quiesce/`. */
export class Disks {
  readonly #volume: string;
  readonly #stateDir: string;
  readonly #evidence: string;
  #refusing = false;
  /** Whether `.quiesce/` was removed since the last reset. The claim on the volume is then lost for a moment. */
  evidenceLost = false;

  constructor(paths: { volume: string; stateDir: string; evidence: string }) {
    this.#volume = paths.volume;
    this.#stateDir = paths.stateDir;
    this.#evidence = paths.evidence;
  }

  /** Mounts a small file system for the journal. */
  async mountState(): Promise<void> {
    const options = `size=${STATE_SIZE},mode=700`;
    await tool('mount', '-t', 'tmpfs', '-o', options, 'quiesce-state', this.#stateDir);
    mounts.add(this.#stateDir);
  }

  /** Fills the journal's file system. An empty file still fits. */
  async fillState(): Promise<void> {
    const { bavail, bsize } = await statfs(this.#stateDir);
    const ballast = join(this.#stateDir, 'ballast');
    await writeFile(ballast, Buffer.alloc(bavail * bsize)).catch(() => undefined);
  }

  async emptyState(): Promise<void> {
    await rm(join(this.#stateDir, 'ballast'), { force: true });
  }

  /** Fills the data volume, for server and sidecar. */
  async fillVolume(): Promise<void> {
    const ballast = join(dirname(this.#volume), 'ballast');
    for (let part = 0; part < 12; part += 1) {
      const { bavail, bsize } = await statfs(this.#volume);
      const size = Math.floor((bavail * bsize) / (part < 4 ? 1 : 2));
      if (size < 65_536) return;
      await tool('fallocate', '-l', String(size), `${ballast}-${part}`).catch(() => undefined);
    }
  }

  async emptyVolume(): Promise<void> {
    const top = dirname(this.#volume);
    for (let part = 0; part < 12; part += 1) {
      await rm(join(top, `ballast-${part}`), { force: true });
    }
    await tool('btrfs', 'filesystem', 'sync', top);
  }

  /**
   * Makes `.quiesce/` read-only in place, so that no process can write or remove anything there.
   *
   * @returns whether it worked: the kernel refuses while a file there is open for writing
   */
  async refuseEvidence(): Promise<boolean> {
    if (this.#refusing) return true;
    if (!existsSync(this.#evidence)) return false;
    this.#refusing = true;
    await tool('mount', '--bind', this.#evidence, this.#evidence);
    mounts.add(this.#evidence);
    for (let attempt = 0; attempt < REFUSE_TRIES; attempt += 1) {
      const refused = await tool('mount', '-o', 'remount,ro,bind', this.#evidence).then(
        () => true,
        () => false,
      );
      if (refused) return true;
      await sleep(25);
    }
    return false;
  }

  async allowEvidence(): Promise<void> {
    if (!this.#refusing) return;
    await unmount(this.#evidence);
    mounts.delete(this.#evidence);
    this.#refusing = false;
  }

  /** Runs `rm -rf .quiesce`, as an operator who tidies up does. @returns whether it existed */
  async removeEvidence(): Promise<boolean> {
    if (this.#refusing || !existsSync(this.#evidence)) return false;
    this.evidenceLost = true;
    await rm(this.#evidence, { recursive: true, force: true });
    return true;
  }

  /** Unmounts everything that this process has mounted. */
  async close(): Promise<void> {
    for (const point of mounts) await tool('umount', point).catch(() => undefined);
    mounts.clear();
  }
}
