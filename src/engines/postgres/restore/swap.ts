import { constants } from 'node:fs';
import { access, chown, lstat, mkdir, readdir, rename } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { z } from 'zod';
import {
  isErrno,
  isMissing,
  ownerLike,
  syncFolder,
  writeDurably,
} from '../../../lib/durable-files.ts';
import { isDenied, isForeign } from '../../shared/foreign-entries.ts';
import { VOLUME_FOLDER } from '../../../receipt/volume.ts';
import { readRegular } from '../../../lib/regular-file.ts';
import { preparedRecordSchema } from '../receipt.ts';
import { BASE, exists, SWAP, TORN } from '../freeze/staged/folder.ts';
import { incomplete } from './errors.ts';

const swapSchema = z.object({
  /**
   * `clearing`: the files copied live are being moved out of PGDATA. `filling`: all of them are
   * out, and the staged backup is being moved in. `done`: PGDATA is the staged backup.
   */
  phase: z.enum(['clearing', 'filling', 'done']),
  /** What was proven about the staged backup before anything was moved. */
  prepared: preparedRecordSchema,
});
export type Swap = z.infer<typeof swapSchema>;

/** What a server reads first. It must never read these of the live files. */
const DATA = /^(?:base|global|pg_.*|PG_VERSION)$/;

/** How far an earlier run got; `null` where none has begun. */
export async function readSwap(staging: string): Promise<Swap | null> {
  const path = join(staging, SWAP);
  let text: string;
  try {
    text = await readRegular(path);
  } catch (error) {
    if (isMissing(error)) return null;
    throw error;
  }
  try {
    return swapSchema.parse(JSON.parse(text));
  } catch {
    // Reported below.
  }
  throw incomplete(`${path} cannot be understood: restore the volume again.`);
}

/**
 * Turns PGDATA into the staged backup, by renames inside PGDATA, which may itself be a mount point.
 * To continue after an interruption, call it again with the result of {@link readSwap}. Until it is
 * done, no server starts on PGDATA, because pg_control is moved in last.
 *
 * The old content of PGDATA is in `torn/` afterwards.
 */
export async function swapIn(pgdata: string, staging: string, swap: Swap): Promise<void> {
  const torn = join(staging, TORN);
  const base = join(staging, BASE);
  if (swap.phase === 'clearing') {
    await writeSwap(staging, swap);
    await mkdir(torn, { mode: 0o700 }).catch((error: unknown) => {
      if (!isErrno(error, 'EEXIST')) throw error;
    });
    await moveAll(pgdata, torn, 'first');
  }
  if (swap.phase !== 'done') {
    await writeSwap(staging, { ...swap, phase: 'filling' });
    if (await exists(base)) await moveAll(base, pgdata, 'last');
    await writeSwap(staging, { ...swap, phase: 'done' });
  }
}

async function writeSwap(staging: string, swap: Swap): Promise<void> {
  const owner = await ownerLike(staging);
  await writeDurably(join(staging, SWAP), `${JSON.stringify(swap)}\n`, { mode: 0o600, ...owner });
}

/** @param global when the folder of pg_control moves: no server starts without it. */
async function moveAll(from: string, to: string, global: 'first' | 'last'): Promise<void> {
  const names: string[] = [];
  for (const name of await readdir(from)) if (!(await stays(from, name))) names.push(name);
  const others = names.filter((name) => name !== 'global');
  const globalFolder = names.filter((name) => name === 'global');
  const inOrder = global === 'first' ? [...globalFolder, ...others] : [...others, ...globalFolder];
  for (const name of inOrder) {
    if (await exists(join(to, name))) {
      if (await stays(to, name)) continue;
      throw incomplete(
        `${join(to, name)} is in the way of ${join(from, name)}: something wrote there while the backup was put in place. Restore the volume again.`,
      );
    }
    await rename(join(from, name), join(to, name));
  }
  await syncFolder(to);
  await syncFolder(from);
}

/**
 * Whether an entry stays where it is: it belongs to the root of the volume, where PGDATA is that
 * root, or it is another user's folder, which this user cannot move.
 */
async function stays(folder: string, name: string): Promise<boolean> {
  if (name === VOLUME_FOLDER || isForeign(name)) return true;
  const path = join(folder, name);
  if (DATA.test(name) || !(await lstat(path)).isDirectory()) return false;
  return await access(path, constants.W_OK).then(() => false, isDenied);
}

/** Makes PGDATA where the copy has none: all files in it may have been temporary. */
export async function makeData(pgdata: string, staging: string): Promise<void> {
  if (await exists(pgdata)) return;
  const { owner } = await ownerLike(staging);
  await mkdir(pgdata, { mode: 0o700 });
  if (owner) await chown(pgdata, owner.uid, owner.gid);
  await syncFolder(dirname(pgdata));
}
