import { createHash } from 'node:crypto';
import { lstat, readdir, readFile, stat } from 'node:fs/promises';
import { join, relative, resolve } from 'node:path';
import { ROOT } from '../layout.ts';

/** The certificate authorities of this machine, which may be behind a proxy with its own. */
export const AUTHORITIES = '/etc/ssl/certs/ca-certificates.crt';

/** A short hash of texts, in their order. */
export function hashOf(...texts: readonly string[]): string {
  const hash = createHash('sha256');
  for (const text of texts) hash.update(`${text.length}:`).update(text);
  return hash.digest('hex').slice(0, 12);
}

/** The content and the names of files and folders; relative paths are in the checkout. */
export async function contentOf(...paths: readonly string[]): Promise<string> {
  const hash = createHash('sha256');
  for (const path of paths) {
    for (const file of await filesIn(resolve(ROOT, path))) {
      const content = await readFile(file);
      hash.update(`${relative(ROOT, file)}:${content.length}:`).update(content);
    }
  }
  return hash.digest('hex');
}

async function filesIn(path: string): Promise<string[]> {
  if (!(await lstat(path)).isDirectory()) return [path];
  const entries = await readdir(path, { recursive: true, withFileTypes: true });
  const files = entries.filter((entry) => !entry.isDirectory());
  return files.map((entry) => join(entry.parentPath, entry.name)).toSorted();
}

/** A large program is known by its path, size and time: reading it would take longer than all else. */
export async function identityOf(...programs: readonly string[]): Promise<string> {
  const found = await Promise.all(
    programs.map(async (path) => {
      const { size, mtimeMs } = await stat(path);
      return `${path} ${size} ${mtimeMs}`;
    }),
  );
  return found.join('\n');
}
