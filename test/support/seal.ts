import { mkdir, rm, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import type { FreezeContext } from '../../src/engines/engine.ts';
import { makeTempDir } from './temp-dir.ts';

/** The context of a freeze for a snapshot, which keeps and records nothing. */
export const SEAL_CONTEXT: FreezeContext = {
  id: 'sealed',
  copy: 'snapshot',
  ttlMs: 1_000,
  progress: () => undefined,
  keep: async () => undefined,
  remember: async () => undefined,
};

/** A folder as data volume, in a folder for what is outside of it. */
export async function makeVolumeFolder(): Promise<{
  readonly outer: string;
  readonly dir: string;
  readonly remove: () => Promise<void>;
}> {
  const outer = await makeTempDir();
  const dir = join(outer, 'data');
  await mkdir(dir);
  return { outer, dir, remove: () => rm(outer, { recursive: true, force: true }) };
}

/** Makes small files, and their folders. */
export async function makeFiles(dir: string, files: readonly string[]): Promise<void> {
  for (const file of files) {
    await mkdir(dirname(join(dir, file)), { recursive: true });
    await writeFile(join(dir, file), 'x');
  }
}
