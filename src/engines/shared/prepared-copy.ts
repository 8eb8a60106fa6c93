import { join } from 'node:path';
import { z } from 'zod';
import { ownerLike, writeDurably } from '../../lib/durable-files.ts';
import { readIfThere } from '../../lib/regular-file.ts';
import { VOLUME_FOLDER } from '../../receipt/volume.ts';
import type { PrepareOutcome } from '../restore-module.ts';

/** In `.quiesce/` of a copy: says that `prepare-restore` proved it before any server ran on it. */
const PREPARED_FILE = 'prepared.json';

/**
 * One format for all engines; what an engine has proven follows these keys. A copy carries it until its
 * first start, so that a later release reads what an earlier one wrote: Redis' said `proven` and no time.
 */
const preparedSchema = z.looseObject({ id: z.string(), preparedAt: z.string().optional() });

export type PreparedCopy = z.infer<typeof preparedSchema>;

/**
 * What an earlier run proved; `undefined` where none did, or what it left cannot be understood.
 *
 * @param dataDir what `QUIESCE_DATA_DIR` was.
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

/** @param prepared what was proven; for an engine that says no more, `preparedNow` alone. */
export async function keepPrepared(dataDir: string, prepared: PreparedCopy): Promise<void> {
  await writeDurably(pathOf(dataDir), `${JSON.stringify(prepared, null, 2)}\n`, {
    mode: 0o644,
    ...(await ownerLike(join(dataDir, VOLUME_FOLDER))),
  });
}

/** What every engine says of a copy that it has just proven. */
export function preparedNow(id: string): { readonly id: string; readonly preparedAt: string } {
  return { id, preparedAt: new Date().toISOString() };
}

function pathOf(dataDir: string): string {
  return join(dataDir, VOLUME_FOLDER, PREPARED_FILE);
}

type Copy = Pick<PrepareOutcome, 'id' | 'engine' | 'dataDirectory' | 'dryRun'>;
type Said = Pick<PrepareOutcome, 'message'> & Partial<PrepareOutcome>;

/** An outcome in which nothing was put in place, removed or proven but what is said. */
export function outcomeOf(copy: Copy, said: Said): PrepareOutcome {
  return {
    outcome: 'prepared',
    ...copy,
    placed: [],
    removed: [],
    proof: null,
    notes: [],
    ...said,
  };
}

/** For a copy that cannot be proven again, since a server has run on it, and was proven before. */
export function alreadyPrepared(copy: Copy): PrepareOutcome {
  return outcomeOf(copy, {
    outcome: 'already-prepared',
    message: `The copy of freeze ${copy.id} in ${copy.dataDirectory} was prepared before and a server has run on it since: nothing was changed.`,
  });
}
