import { constants } from 'node:fs';
import { access, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { QuiesceError } from '../../../errors.ts';
import { type Prepared, preparedSchema } from '../receipt.ts';
import { readIfThere } from '../../../lib/regular-file.ts';

/** What an earlier run proved; `undefined` where there was none. */
export async function readPrepared(folder: string): Promise<Prepared | undefined> {
  const text = await readIfThere(join(folder, 'prepared.json'));
  try {
    return preparedSchema.safeParse(JSON.parse(text ?? 'null')).data;
  } catch {
    return undefined;
  }
}

/** @throws QuiesceError RESTORE_UNWRITABLE where the server could not read what we put there. */
export async function checkOwner(pgdata: string, folder: string): Promise<void> {
  await access(pgdata, constants.R_OK | constants.W_OK | constants.X_OK);
  await access(folder, constants.R_OK | constants.W_OK | constants.X_OK);
  const { uid } = await stat(pgdata);
  const self = process.getuid?.();
  if (self !== undefined && self !== 0 && self !== uid) {
    throw new QuiesceError(
      'RESTORE_UNWRITABLE',
      `${pgdata} belongs to user ${uid} and this is user ${self}: the server could not read what is put there.`,
      { hint: `Run prepare-restore as user ${uid}, or as root.` },
    );
  }
}

/** Files that root writes go to the owner of the folder: the server must be able to read them. */
export async function ownerOf(folder: string): Promise<{ owner?: { uid: number; gid: number } }> {
  if (process.getuid?.() !== 0) return {};
  const { uid, gid } = await stat(folder);
  return { owner: { uid, gid } };
}
