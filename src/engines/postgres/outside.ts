import { realpath } from 'node:fs/promises';
import {
  findTablespace,
  findWal,
  isRefusal,
  type VolumeInput,
  within,
} from './data-dir/volumes.ts';

/**
 * What of the data does not lie below QUIESCE_DATA_DIR, though on the same device: a disk of which
 * several volumes are folders looks like this, and so does one volume mounted at several places.
 */
export async function noteOutside(input: VolumeInput): Promise<string[]> {
  if (input.dataDir === undefined) return [];
  const wal = await findWal(input);
  const parts = [{ what: 'pg_wal', path: wal }];
  for (const space of input.tablespaces) {
    parts.push({ what: `Tablespace ${space.name}`, path: await findTablespace(input, space) });
  }
  const notes: string[] = [];
  for (const { what, path } of parts) {
    if (isRefusal(path) || !(await isOutside(input.dataDir, path))) continue;
    notes.push(
      `${what} (${path}) lies outside of QUIESCE_DATA_DIR ${input.dataDir}: a copy of that folder alone does not hold it, and prepare-restore refuses one that leads out of it. Set QUIESCE_DATA_DIR to a folder of the volume that holds both.`,
    );
  }
  return notes;
}

/** Links followed. */
export async function isOutside(root: string, path: string): Promise<boolean> {
  return !within(await realpath(root), await realpath(path));
}
