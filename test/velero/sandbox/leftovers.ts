import { existsSync } from 'node:fs';
import { readdir, readFile, rm, rmdir, writeFile } from 'node:fs/promises';
import { basename, join } from 'node:path';
import { isAlive } from '../../../src/testbed/os.ts';
import { STATE, state } from '../layout.ts';
import { run, tryRun } from '../run.ts';
import { until } from '../wait.ts';

/** Places where the sandbox mounts its own folders; those that a run had to make are removed after it. */
const MOUNT_POINTS = ['/var/lib/kubelet', '/var/lib/cni'];
const CGROUPS = '/sys/fs/cgroup';
/** The parent of all pods' cgroups. */
export const CGROUP = basename(STATE);

/** What a run changes outside of its sandbox, written down before it does. */
interface Changes {
  readonly made: readonly string[];
}

/** Prepares the machine for a sandbox: mount points, and the cgroup of its pods. */
export async function prepareMachine(): Promise<void> {
  const made = MOUNT_POINTS.filter((path) => !existsSync(path));
  const changes: Changes = { made };
  await writeFile(state('changes.json'), JSON.stringify(changes));
  await run('mkdir', ['-p', ...MOUNT_POINTS, ...(await cgroupRoots())]);
}

/**
 * Ends the sandbox of the last run, whatever became of that run, and gives the machine back as it was
 * before. Does nothing where nothing is left.
 */
export async function removeLeftovers(): Promise<void> {
  const sandbox = await readFile(state('sandbox'), 'utf8').catch(() => undefined);
  if (sandbox !== undefined && (await isAlive(sandbox))) {
    // Process 1 of a process namespace: the kernel ends all others with it, and their mounts and networks.
    process.kill(Number(sandbox.split(' ')[0]), 'SIGKILL');
    await until('the sandbox has ended', 30_000, async () => !(await isAlive(sandbox)));
  }
  await detachLoops();
  await removeCgroups();
  await undo();
  await rm(STATE, { recursive: true, force: true });
}

async function undo(): Promise<void> {
  const text = await readFile(state('changes.json'), 'utf8').catch(() => undefined);
  if (text === undefined) return;
  const { made } = JSON.parse(text) as Changes;
  for (const path of made) {
    if (!(await isMounted(path))) await rmdir(path).catch(() => undefined);
  }
}

/** Whether the sandbox of another run has a mount there: the kernel takes it away with the folder. */
async function isMounted(path: string): Promise<boolean> {
  for (const name of await readdir('/proc')) {
    if (!/^\d+$/.test(name)) continue;
    const mounts = await readFile(`/proc/${name}/mountinfo`, 'utf8').catch(() => '');
    if (mounts.includes(` ${path} `)) return true;
  }
  return false;
}

/** Loop devices go with their mount; one that was never mounted stays. */
async function detachLoops(): Promise<void> {
  const { stdout } = await tryRun('losetup', ['--noheadings', '--output', 'NAME,BACK-FILE']);
  for (const line of stdout.split('\n')) {
    const [name, file] = line.trim().split(/\s+/);
    if (name !== undefined && file?.startsWith(`${STATE}/`) === true) {
      await tryRun('losetup', ['--detach', name]);
    }
  }
}

async function cgroupRoots(): Promise<readonly string[]> {
  if (existsSync(join(CGROUPS, 'cgroup.controllers'))) return [join(CGROUPS, CGROUP)];
  const controllers = await readdir(CGROUPS);
  return controllers.map((name) => join(CGROUPS, name, CGROUP));
}

/** Removes the cgroups of the pods; they are empty once the sandbox has ended. */
async function removeCgroups(): Promise<void> {
  for (const root of await cgroupRoots()) {
    await until(`${root} is empty`, 20_000, async () => {
      await removeFolders(root);
      return !existsSync(root);
    });
  }
}

/** A cgroup is removed as a folder is; its files cannot and need not be. */
async function removeFolders(folder: string): Promise<void> {
  const entries = await readdir(folder, { withFileTypes: true }).catch(() => []);
  for (const entry of entries) {
    if (entry.isDirectory()) await removeFolders(join(folder, entry.name));
  }
  await rmdir(folder).catch(() => undefined);
}
