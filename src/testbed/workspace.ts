import {
  appendFile,
  chmod,
  mkdtemp,
  readdir,
  readFile,
  rm,
  stat,
  writeFile,
} from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { sweepMounts } from './volume/btrfs.ts';
import { fingerprint, isAlive, tool } from './os.ts';

const PREFIX = 'quiesce-demo-';
const OWNER = 'owner';
const PROCESSES = 'processes';
const KEPT = 'kept';
const MOUNT = 'quiesce-volume';

type Cleanup = () => Promise<unknown>;

/**
 * A temporary folder for everything that a demo starts. Deferred clean-ups run in reverse order. A
 * record of processes lets a later run clean up after one that was killed.
 */
export class Workspace {
  readonly dir: string;
  readonly #cleanups: Cleanup[] = [];
  #closed = false;

  private constructor(dir: string) {
    this.dir = dir;
  }

  static async create(): Promise<Workspace> {
    const dir = await mkdtemp(join(tmpdir(), PREFIX));
    // The server runs as another user if this process is root, and must reach its data in here.
    await chmod(dir, 0o755);
    await writeFile(join(dir, OWNER), await fingerprint(process.pid));
    return new Workspace(dir);
  }

  /** Runs the clean-up at the end, or now if the workspace is already closed. */
  async defer(cleanup: Cleanup): Promise<void> {
    if (this.#closed) await cleanup();
    else this.#cleanups.push(cleanup);
  }

  /** Records a process, so that a later run can end it if this one is killed. */
  async record(pid: number | undefined): Promise<void> {
    if (pid === undefined) return;
    await appendFile(join(this.dir, PROCESSES), `${await fingerprint(pid)}\n`);
  }

  /** Drops all clean-ups: the folder and its processes stay until {@link stopWorkspaces}. */
  async keep(): Promise<void> {
    this.#closed = true;
    this.#cleanups.length = 0;
    await writeFile(join(this.dir, OWNER), KEPT);
  }

  /** Runs all clean-ups, also after one failed, and removes the folder. @returns the failures. */
  async dispose(): Promise<string[]> {
    if (this.#closed) return [];
    this.#closed = true;
    const failures: string[] = [];
    for (const cleanup of this.#cleanups.splice(0).toReversed()) {
      await cleanup().catch((error: unknown) => failures.push((error as Error).message));
    }
    await rm(this.dir, { recursive: true, force: true }).catch((error: unknown) =>
      failures.push((error as Error).message),
    );
    return failures;
  }
}

/**
 * Ends the processes and removes the folders of demos that were killed, and with `kept` also of those
 * that ran with `--keep`. Only folders and processes of this user.
 *
 * @returns the folders removed.
 */
export async function stopWorkspaces({ kept }: { readonly kept: boolean }): Promise<string[]> {
  const removed: string[] = [];
  for (const name of await readdir(tmpdir())) {
    const dir = join(tmpdir(), name);
    if (!name.startsWith(PREFIX) || (await stat(dir).catch(() => null))?.uid !== process.getuid?.())
      continue;
    const owner = await readFile(join(dir, OWNER), 'utf8').catch(() => undefined);
    if (owner === undefined || (owner === KEPT ? !kept : await isAlive(owner))) continue;
    await endProcesses(dir);
    await removeMounts(dir);
    await rm(dir, { recursive: true, force: true });
    removed.push(dir);
  }
  return removed;
}

async function endProcesses(dir: string): Promise<void> {
  const text = await readFile(join(dir, PROCESSES), 'utf8').catch(() => '');
  const fingerprints = text.split('\n').filter(Boolean);
  for (const signal of ['SIGTERM', 'SIGQUIT', 'SIGKILL'] as const) {
    for (const recorded of fingerprints) {
      if (await isAlive(recorded)) process.kill(Number(recorded.split(' ')[0]), signal);
    }
    for (let waited = 0; waited < 20 && (await anyAlive(fingerprints)); waited += 1)
      await sleep(50);
  }
}

async function anyAlive(fingerprints: readonly string[]): Promise<boolean> {
  return (await Promise.all(fingerprints.map(isAlive))).some(Boolean);
}

/** Marks a kept volume as ownerless, so that the sweep unmounts it. */
async function removeMounts(dir: string): Promise<void> {
  await writeFile(join(dir, `${MOUNT}.owner`), 'gone');
  await sweepMounts();
  const mounts = await readFile('/proc/self/mounts', 'utf8').catch(() => '');
  if (mounts.includes(dir)) await tool('umount', '--lazy', join(dir, MOUNT));
}
