import { createHash } from 'node:crypto';
import { lstat, readdir, rm, rmdir } from 'node:fs/promises';
import { join } from 'node:path';
import { isErrno, isMissing, syncFolder } from '../../../../lib/durable-files.ts';
import { RECEIPT_FILE, VOLUME_FOLDER } from '../../../../receipt/volume.ts';

/** Names within the folder of one staged backup. */
export const BASE = 'base';
export const MANIFEST = 'manifest.json';
/** During a restore: the files that were copied live, moved out of PGDATA. */
export const TORN = 'torn';
/** During a restore: the progress of the swap. */
export const SWAP = 'swap.json';
const OURS = [TORN, BASE, MANIFEST, SWAP] as const;

/**
 * The folder of a freeze's staged backup in `.quiesce/`: the id itself if it is a file name that no
 * other file there can have, otherwise a digest of the id (`..`, `receipt.json`, …).
 */
export function stagingName(id: string): string {
  const plain = /^[A-Za-z0-9][A-Za-z0-9._:-]*$/.test(id);
  const taken = /\.(json|tmp)$|^(postgres\.|restored-)/.test(id);
  if (plain && !taken) return id;
  return `staged-${createHash('sha256').update(id).digest('hex').slice(0, 24)}`;
}

/** Whether {@link stagingName} can return this name. Such a name never leads out of `.quiesce/`. */
export function isStagingName(name: string): boolean {
  return /^[A-Za-z0-9][A-Za-z0-9._:-]{0,127}$/.test(name) && stagingName(name) === name;
}

/**
 * Removes one staged backup, durably: the entries that are ours, and then the folder if it is
 * empty. Follows no link. Removes the big parts first, so that an interrupted removal can be
 * recognised.
 */
export async function removeStaging(folder: string): Promise<void> {
  if (!(await isFolder(folder))) return;
  for (const name of OURS) await rm(join(folder, name), { recursive: true, force: true });
  await rmdir(folder).catch((error: unknown) => {
    if (!isErrno(error, 'ENOTEMPTY') && !isErrno(error, 'ENOENT')) throw error;
  });
  await syncFolder(join(folder, '..'));
}

/**
 * Removes every staged backup that no freeze and no restore can still need. Leaves a volume with a
 * receipt alone: it is a restored copy, and its staged backup may be its only good part. Also
 * leaves a staged backup whose swap has begun and not ended.
 */
export async function sweepStaging(dataDir: string): Promise<void> {
  const root = join(dataDir, VOLUME_FOLDER);
  if (!(await isFolder(root)) || (await exists(join(root, RECEIPT_FILE)))) return;
  for (const entry of await readdir(root, { withFileTypes: true })) {
    const folder = join(root, entry.name);
    if (!entry.isDirectory() || !isStagingName(entry.name)) continue;
    if (!(await exists(join(folder, SWAP)))) await removeStaging(folder);
  }
}

/** Whether the path is a folder, not a link to one. */
export async function isFolder(path: string): Promise<boolean> {
  return await lstat(path).then(
    (info) => info.isDirectory(),
    (error: unknown) => {
      if (isMissing(error)) return false;
      throw error;
    },
  );
}

export async function exists(path: string): Promise<boolean> {
  return await lstat(path).then(
    () => true,
    (error: unknown) => {
      if (isMissing(error)) return false;
      throw error;
    },
  );
}
