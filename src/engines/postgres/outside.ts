import { realpath } from 'node:fs/promises';
import { isInside } from '../../lib/paths.ts';
import { findTablespace, findWal, isRefusal, type VolumeInput } from './data-dir/volumes.ts';

/**
 * Warns about parts of the data outside QUIESCE_DATA_DIR but on the same device, as when several
 * volumes are folders of one disk, or one volume is mounted twice.
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
      `${what} (${path}) is outside QUIESCE_DATA_DIR ${input.dataDir}: a copy of that folder alone does not contain it, and prepare-restore refuses a copy with links that lead outside. Set QUIESCE_DATA_DIR to a folder of the volume that contains both.`,
    );
  }
  return notes;
}

/** Follows links in both paths. */
export async function isOutside(root: string, path: string): Promise<boolean> {
  return !isInside(await realpath(path), await realpath(root));
}
