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
 * Copies a volume file by file in random order while its server writes, as a file-system backup does
 * at its worst: half of the files, then whatever `between` does to the pages, then the other half. Files
 * that vanish are left out. Deterministic by seed, but for what the server does.
 */
export async function copyFileByFile(
  from: string,
  to: string,
  { between, seed = 1 }: { readonly between: () => Promise<unknown>; readonly seed?: number },
): Promise<void> {
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
  const shuffled = shuffle(files, seed);
  const half = Math.floor(shuffled.length / 2);
  for (const path of shuffled.slice(0, half)) await copyOne(join(from, path), join(to, path));
  await between();
  for (const path of shuffled.slice(half)) await copyOne(join(from, path), join(to, path));
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
