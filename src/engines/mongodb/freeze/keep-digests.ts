import { createHash } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { unlessAborted } from '../../../lib/deadline.ts';
import { VOLUME_FOLDER } from '../../../receipt/volume.ts';
import { BACKUP_FILE } from '../data-dir/data-dir.ts';
import {
  type Digest,
  digest,
  type Digests,
  DIGESTS_FILE,
  type Wanted,
} from '../data-dir/digests.ts';
import { journalFiles } from '../data-dir/journal.ts';
import { readMetadata } from '../data-dir/wiredtiger/metadata.ts';
import type { PreparedFreeze } from './prepare.ts';

/** Writers wait meanwhile, and for the write of the digests. */
const DIGEST_WITHIN_MS = 700;
const AT_ONCE = 4;

/** Written once, or as long as the lock is in place. */
const STILL_FILES = ['WiredTiger', BACKUP_FILE, 'storage.bson'];
/** The server writes to these even under the lock (measured, 6.0). */
const MOVING_TABLES = /^(?:WiredTigerHS|sizeStorer|internal-.*)\.wt$/;

/** What the receipt says of the digests. */
export interface KeptDigests {
  readonly file: string;
  readonly sha256: string;
  /** How many files have none. Tables do not count: a restore checks their blocks in any case. */
  readonly left: number;
}

/**
 * Keeps digests of the files that stand still under the lock, so that a restore finds what was damaged,
 * copied incompletely, or copied after the thaw.
 *
 * Tables are among them for a copy file by file of a server outside a set. The next checkpoint of a member
 * writes to its tables even under the lock, to other blocks than those of the lock's checkpoint.
 *
 * @returns `null` where the data is not mounted here.
 */
export async function keepDigests(
  { folder, server, context }: PreparedFreeze,
  signal: AbortSignal,
): Promise<KeptDigests | null> {
  if (folder === undefined) return null;
  const withTables = context.copy === 'files' && server.setName === undefined;
  const digests = await unlessAborted(digestFiles(folder.path, withTables), signal);
  const text = `${JSON.stringify(digests, null, 1)}\n`;
  await context.keep({ [DIGESTS_FILE]: text });
  return {
    file: `${VOLUME_FOLDER}/${DIGESTS_FILE}`,
    sha256: createHash('sha256').update(text).digest('hex'),
    left: digests.notDigested.filter((name) => !name.endsWith('.wt')).length,
  };
}

async function digestFiles(folder: string, withTables: boolean): Promise<Digests> {
  const late = new AbortController();
  const deadline = sleep(DIGEST_WITHIN_MS, undefined, { signal: late.signal }).catch(
    () => undefined,
  );
  const files = new Map<string, Digest>();
  const wanted: Wanted[] = STILL_FILES.map((name) => ({ name, part: 'all' }));
  const work = async (): Promise<void> => {
    wanted.push(...(await listMore(folder, withTables).catch(() => [])));
    const queue = [...wanted];
    const next = async (): Promise<void> => {
      for (let one = queue.shift(); one && !late.signal.aborted; one = queue.shift()) {
        // What cannot be read is listed: the freeze itself does not depend on it.
        const found = await digest(folder, one).catch(() => null);
        if (found) files.set(one.name, found);
      }
    };
    await Promise.all(Array.from({ length: AT_ONCE }, next));
  };
  await Promise.race([work(), deadline]);
  late.abort();
  return {
    apiVersion: 'quiesce.dev/v1',
    kind: 'Digests',
    files: [...files.values()],
    notDigested: wanted.map(({ name }) => name).filter((name) => !files.has(name)),
  };
}

/** The newest journal first: a recovery needs it in any case. */
async function listMore(folder: string, withTables: boolean): Promise<Wanted[]> {
  const journal = (await journalFiles(folder)).toReversed();
  const more: Wanted[] = journal.map((name) => ({ name, part: 'begin' }));
  if (!withTables) return more;
  const tables = readMetadata(await readFile(join(folder, BACKUP_FILE), 'latin1'));
  const still = tables.map(({ name }) => name).filter((name) => !MOVING_TABLES.test(name));
  return [...more, ...still.map((name) => ({ name, part: 'samples' }) as const)];
}
