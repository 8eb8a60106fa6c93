import { constants } from 'node:fs';
import {
  chmod,
  copyFile,
  lchown,
  lstat,
  mkdir,
  readdir,
  readlink,
  symlink,
} from 'node:fs/promises';
import { join } from 'node:path';

/**
 * The order in which a file-system backup reads the files of a running server. `A1`: pg_control and WAL
 * first, so that every other file is ahead of them. `A2`: half of the data files, the other half, WAL,
 * pg_control last, so that recovery starts after the changes that the first half lacks. `random`: a
 * shuffled half, then the other half.
 */
export type FileOrder = 'A1' | 'A2' | 'random';

interface FileCopy {
  /** Makes the server write its pages between the parts of the copy. */
  readonly between: () => Promise<unknown>;
  readonly order?: FileOrder;
  readonly seed?: number;
}

/**
 * Copies a volume file by file while its server writes, in the worst order. Files that disappear are
 * left out. Deterministic by seed, except for the server's own writes.
 */
export async function copyFileByFile(
  from: string,
  to: string,
  { between, order = 'random', seed = 1 }: FileCopy,
): Promise<void> {
  const copy = async (paths: readonly string[]): Promise<void> => {
    for (const path of paths) await copyOne(join(from, path), join(to, path));
  };
  const files = await listInto(from, to);
  if (order === 'random') {
    const [first, second] = halves(shuffle(files, seed));
    await copy(first);
    await between();
    await copy(second);
    return;
  }
  const data = files.filter((path) => !isWal(path) && !isControl(path));
  if (order === 'A1') {
    await copy(files.filter((path) => isWal(path) || isControl(path)));
    await between();
    await copy(data);
    return;
  }
  const [first, second] = halves(shuffle(data, seed));
  await copy(first);
  await between();
  await copy(second);
  const late = await listInto(from, to);
  await copy(late.filter(isWal));
  await copy(late.filter(isControl));
}

const isWal = (path: string): boolean => path.includes('pg_wal/');
const isControl = (path: string): boolean => path.endsWith('/pg_control');

function halves<T>(items: readonly T[]): [T[], T[]] {
  const half = Math.floor(items.length / 2);
  return [items.slice(0, half), items.slice(half)];
}

/** Lists the files below `from`, relative to it, and creates its folders in `to`. */
async function listInto(from: string, to: string): Promise<string[]> {
  const files: string[] = [];
  const visit = async (path: string): Promise<void> => {
    const source = join(from, path);
    const info = await lstat(source).catch(() => undefined);
    if (!info?.isDirectory()) {
      if (info?.isFile() || info?.isSymbolicLink()) files.push(path);
      return;
    }
    await mkdir(join(to, path), { recursive: true });
    await lchown(join(to, path), info.uid, info.gid);
    await chmod(join(to, path), info.mode & 0o7777);
    for (const name of await readdir(source)) await visit(join(path, name));
  };
  await visit('.');
  return files;
}

async function copyOne(source: string, target: string): Promise<void> {
  try {
    const info = await lstat(source);
    if (info.isSymbolicLink()) await symlink(await readlink(source), target);
    else await copyFile(source, target, constants.COPYFILE_EXCL);
    await lchown(target, info.uid, info.gid);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ENOENT') throw error;
  }
}

function shuffle<T>(items: readonly T[], seed: number): T[] {
  const out = [...items];
  let state = seed >>> 0 || 1;
  for (let at = out.length - 1; at > 0; at -= 1) {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0;
    const other = state % (at + 1);
    [out[at], out[other]] = [out[other] as T, out[at] as T];
  }
  return out;
}
