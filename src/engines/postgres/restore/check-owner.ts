import { constants } from 'node:fs';
import { access, stat } from 'node:fs/promises';
import { QuiesceError } from '../../../errors.ts';

/** @throws QuiesceError RESTORE_UNWRITABLE where the server could not read the files we write. */
export async function checkOwner(pgdata: string, folder: string): Promise<void> {
  await access(pgdata, constants.R_OK | constants.W_OK | constants.X_OK);
  await access(folder, constants.R_OK | constants.W_OK | constants.X_OK);
  const { uid } = await stat(pgdata);
  const self = process.getuid?.();
  if (self !== undefined && self !== 0 && self !== uid) {
    throw new QuiesceError(
      'RESTORE_UNWRITABLE',
      `${pgdata} belongs to user ${uid}, but prepare-restore runs as user ${self}: the server could not read the files written there.`,
      { hint: `Run prepare-restore as user ${uid}, or as root.` },
    );
  }
}
