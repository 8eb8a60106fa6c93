import { join } from 'node:path';
import { z } from 'zod';
import { ownerLike, writeDurably } from '../../lib/durable-files.ts';
import { readIfThere } from '../../lib/regular-file.ts';
import { PREPARED_FILE, VOLUME_FOLDER } from '../../receipt/volume.ts';
import type { PrepareOutcome } from '../restore-module.ts';

/**
 * The format is the same for all engines; an engine adds what it has proven after these keys. A copy keeps
 * the file until its first start, so a later release must read what an earlier one wrote: for Redis that
 * was `proven` and no time.
 */
const preparedSchema = z.looseObject({ id: z.string(), preparedAt: z.string().optional() });

export type PreparedCopy = z.infer<typeof preparedSchema>;

/**
 * Reads what an earlier run proved; `undefined` if none did, or if its record cannot be read.
 *
 * @param dataDir where the copy of `QUIESCE_DATA_DIR` is mounted.
 */
export async function readPrepared(dataDir: string): Promise<PreparedCopy | undefined> {
  const text = await readIfThere(pathOf(dataDir));
  try {
    return preparedSchema.safeParse(JSON.parse(text ?? 'null')).data;
  } catch {
    return undefined;
  }
}

/** Whether an earlier run proved the copy of this freeze. */
export async function wasPrepared(dataDir: string, id: string): Promise<boolean> {
  return (await readPrepared(dataDir))?.id === id;
}

/** @param prepared what was proven; `preparedNow` for an engine that adds nothing. */
export async function keepPrepared(dataDir: string, prepared: PreparedCopy): Promise<void> {
  await writeDurably(pathOf(dataDir), `${JSON.stringify(prepared, null, 2)}\n`, {
    mode: 0o644,
    ...(await ownerLike(join(dataDir, VOLUME_FOLDER))),
  });
}

/** The keys that every engine records for a copy that it has just proven. */
export function preparedNow(id: string): { readonly id: string; readonly preparedAt: string } {
  return { id, preparedAt: new Date().toISOString() };
}

function pathOf(dataDir: string): string {
  return join(dataDir, VOLUME_FOLDER, PREPARED_FILE);
}

type Copy = Pick<PrepareOutcome, 'id' | 'engine' | 'dataDirectory' | 'dryRun'>;
type Changes = Pick<PrepareOutcome, 'message'> & Partial<PrepareOutcome>;

/** An outcome in which nothing was placed, removed or proven except what `changes` lists. */
export function outcomeOf(copy: Copy, changes: Changes): PrepareOutcome {
  return {
    outcome: 'prepared',
    ...copy,
    placed: [],
    removed: [],
    proof: null,
    notes: [],
    ...changes,
  };
}

/** For a copy that was proven before and cannot be proven again, since a server has run on it. */
export function alreadyPrepared(copy: Copy): PrepareOutcome {
  return outcomeOf(copy, {
    outcome: 'already-prepared',
    message: `The copy of freeze ${copy.id} in ${copy.dataDirectory} was already prepared, and a server has run on it since: nothing was changed.`,
  });
}
