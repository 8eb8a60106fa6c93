import { constants } from 'node:fs';
import {
  chmod,
  copyFile,
  lchown,
  lstat,
  mkdir,
  readdir,
  readlink,
  rm,
  symlink,
} from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { listProcesses } from '../os.ts';
import type { Snapshot, Volume, VolumeOptions } from './volume.ts';

const STOP_WITHIN_MS = 5_000;

/** A plain folder. Its copies are atomic because the server's processes are stopped meanwhile. */
export async function makeStoppedCopyVolume(
  dir: string,
  { postmaster }: VolumeOptions,
  reason: string | undefined,
): Promise<Volume> {
  const root = join(dir, 'volume');
  const path = join(root, 'data');
  await mkdir(path, { recursive: true });
  return {
    kind: 'stopped-copy',
    path,
    reason,
    snapshot: (name) => snapshot(path, join(root, name), postmaster?.()),
    keep: () => Promise.resolve(),
    dispose: () => rm(root, { recursive: true, force: true }),
  };
}

async function snapshot(
  from: string,
  to: string,
  postmaster: number | undefined,
): Promise<Snapshot> {
  const begun = performance.now();
  const stopped = postmaster === undefined ? [] : await stopProcessTree(postmaster);
  try {
    await copyTree(from, to);
  } finally {
    resume(stopped);
  }
  const ms = performance.now() - begun;
  const how =
    stopped.length > 0
      ? `copied while ${stopped.length} server ${stopped.length === 1 ? 'process was' : 'processes were'} stopped (SIGSTOP)`
      : 'copied while no server was running';
  return { path: to, how, ms, stalledMs: stopped.length > 0 ? ms : 0 };
}

/**
 * Stops a process and all its descendants, and returns once each of them is seen stopped. SIGSTOP
 * takes effect in a process that is writing only after the write; until then a copy is not atomic.
 */
async function stopProcessTree(root: number): Promise<number[]> {
  const signalled = new Set<number>();
  const deadline = performance.now() + STOP_WITHIN_MS;
  try {
    for (;;) {
      const processes = await listProcesses();
      const tree = new Set([root]);
      for (let size = 0; size !== tree.size;) {
        size = tree.size;
        for (const { pid, parent } of processes) if (tree.has(parent)) tree.add(pid);
      }
      const members = processes.filter(({ pid, state }) => tree.has(pid) && state !== 'Z');
      if (!members.some(({ pid }) => pid === root))
        throw new Error(`the server process ${root} does not run`);
      const moving = members.filter(({ state }) => state !== 'T');
      if (moving.length === 0) return [...signalled];
      for (const { pid } of moving) {
        if (!signalled.has(pid)) send(pid, 'SIGSTOP');
        signalled.add(pid);
      }
      if (performance.now() > deadline)
        throw new Error(`the server processes did not stop within ${STOP_WITHIN_MS / 1_000} s`);
      await sleep(1);
    }
  } catch (error) {
    resume([...signalled]);
    throw error;
  }
}

function resume(pids: readonly number[]): void {
  for (const pid of pids) send(pid, 'SIGCONT');
}

function send(pid: number, signal: NodeJS.Signals): void {
  try {
    process.kill(pid, signal);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ESRCH') throw error;
  }
}

/** Copies a folder with owners and modes, by reflink where the file system can. */
async function copyTree(from: string, to: string): Promise<void> {
  const info = await lstat(from);
  if (info.isDirectory()) {
    await mkdir(to, { mode: 0o700 });
    const names = await readdir(from);
    await Promise.all(names.map((name) => copyTree(join(from, name), join(to, name))));
  } else if (info.isSymbolicLink()) {
    await symlink(await readlink(from), to);
  } else if (info.isFile()) {
    await copyFile(from, to, constants.COPYFILE_FICLONE);
  } else {
    return;
  }
  if (process.getuid?.() === 0) await lchown(to, info.uid, info.gid);
  if (!info.isSymbolicLink()) await chmod(to, info.mode & 0o7777);
}
