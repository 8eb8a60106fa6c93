import { execFile } from 'node:child_process';
import { readdir, readFile, readlink, realpath, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { isErrno } from '../../../lib/durable-files.ts';
import { readIfThere } from '../../../lib/regular-file.ts';

/** `postmaster.pid`, as the last server on the data left it. */
export interface PidFile {
  readonly pid: number;
  /** When that server started; `null` where the file does not say. */
  readonly startedAt: Date | null;
}

/**
 * `null` where there is no such file: the last server was shut down, or the file was removed by
 * hand.
 */
export async function readPidFile(pgdata: string): Promise<PidFile | null> {
  const text = await readIfThere(join(pgdata, 'postmaster.pid'));
  if (text === null) return null;
  const lines = text.split('\n');
  // A single-user server writes its pid with a minus sign.
  const pid = Math.abs(Number.parseInt(lines[0] ?? '', 10));
  const started = Number.parseInt(lines[2] ?? '', 10);
  if (!Number.isSafeInteger(pid) || pid === 0) return null;
  return { pid, startedAt: started > 0 ? new Date(started * 1_000) : null };
}

/**
 * Whether a server runs on this data directory. A copy of a live server always contains its
 * postmaster.pid, so that file alone proves nothing. PostgreSQL's processes are recognised by their
 * working directory, which is PGDATA. Sees only processes of its own PID namespace.
 *
 * @returns a sentence with the process, or `null`.
 */
export async function runningServer(
  pgdata: string,
  pidFile: PidFile | null,
): Promise<string | null> {
  if (!(await hasProc())) return await runningByLsof(pgdata, pidFile);
  const data = await stat(pgdata, { bigint: true });
  for (const name of await readdir('/proc')) {
    if (!/^\d+$/.test(name) || !(await isPostgres(name))) continue;
    try {
      const cwd = await stat(`/proc/${name}/cwd`, { bigint: true });
      if (cwd.dev === data.dev && cwd.ino === data.ino) {
        return `Process ${name} is a PostgreSQL server process that runs in ${pgdata}.`;
      }
    } catch (error) {
      // Another user's process: suspect only the one in postmaster.pid.
      if (!isErrno(error, 'EACCES') || Number(name) !== pidFile?.pid) continue;
      if (await mayBeOn(name, pgdata)) {
        return `Process ${name}, which postmaster.pid names, is a PostgreSQL server that this user may not inspect.`;
      }
    }
  }
  return null;
}

/**
 * Whether a server with another data directory writes its WAL to the folder that this `pg_wal`
 * leads to. In a copy whose link was not changed to the copy of the WAL volume, it leads to the
 * original's.
 *
 * @returns a sentence with the process, or `null`.
 */
export async function runningOnWal(pgdata: string): Promise<string | null> {
  if (!(await hasProc())) return null;
  const wal = await stat(join(pgdata, 'pg_wal'), { bigint: true });
  for (const name of await readdir('/proc')) {
    if (!/^\d+$/.test(name) || !(await isPostgres(name))) continue;
    const theirs = await stat(`/proc/${name}/cwd/pg_wal`, { bigint: true }).catch(() => undefined);
    if (theirs?.dev === wal.dev && theirs.ino === wal.ino) {
      return `Process ${name} is a PostgreSQL server whose WAL is in the folder that ${join(pgdata, 'pg_wal')} leads to.`;
    }
  }
  return null;
}

/**
 * Whether this postmaster.pid would stop a new server from starting although no server runs on the
 * data. It would if its pid now belongs to another process of the same user (miscinit.c,
 * CreateLockFile: a process of another user is not a conflict; measured on 13 and 17).
 */
export async function blocksStart(pgdata: string, { pid }: PidFile): Promise<boolean> {
  // In the server's container, process 1 and our own pids belong to other processes than here.
  if (pid === 1 || pid === process.pid || pid === process.ppid) return false;
  if (!isAlive(pid)) return false;
  const owner = (await stat(pgdata)).uid;
  const user = await stat(`/proc/${pid}`).then(
    (info) => info.uid,
    () => owner,
  );
  return user === owner;
}

function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    return isErrno(error, 'EPERM');
  }
}

async function hasProc(): Promise<boolean> {
  return await readlink('/proc/self/cwd').then(
    () => true,
    () => false,
  );
}

async function isPostgres(pid: string): Promise<boolean> {
  const name = await readFile(`/proc/${pid}/comm`, 'utf8').catch(() => '');
  return /^(postgres|postmaster)\b/.test(name);
}

/**
 * Judges by the command line, which any user may read: not on this data only if it names other
 * data.
 */
async function mayBeOn(pid: string, pgdata: string): Promise<boolean> {
  const args = (await readFile(`/proc/${pid}/cmdline`, 'utf8').catch(() => '')).split('\0');
  const at = args.findIndex((arg) => arg.startsWith('-D'));
  const named = args[at] === '-D' ? args[at + 1] : args[at]?.slice(2);
  if (at === -1 || !named) return true;
  return (await realpath(named).catch(() => named)) === pgdata;
}

/** Without /proc (macOS): asks lsof for the working directory of the process in postmaster.pid. */
async function runningByLsof(pgdata: string, pidFile: PidFile | null): Promise<string | null> {
  if (pidFile === null || !isAlive(pidFile.pid)) return null;
  const args = ['-a', '-p', String(pidFile.pid), '-d', 'cwd', '-Fcn'];
  const output = await promisify(execFile)('lsof', args).then(
    ({ stdout }) => stdout,
    () => undefined,
  );
  if (output === undefined) {
    return `Process ${pidFile.pid}, which postmaster.pid names, is alive, and its working directory cannot be read.`;
  }
  const cwd = /^n(.*)$/m.exec(output)?.[1];
  const isServer = /^c(postgres|postmaster)/m.test(output);
  return isServer && cwd !== undefined && (await realpath(cwd).catch(() => cwd)) === pgdata
    ? `Process ${pidFile.pid} is a PostgreSQL server that runs in ${pgdata}.`
    : null;
}
