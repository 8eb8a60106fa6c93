import { z } from 'zod';
import { QuiesceError } from '../../errors.ts';
import type { Receipt } from '../../receipt/receipt.ts';
import type { FileNames } from './data-dir/data-files.ts';

/** What a restart of the server would load. */
export type Persistence = 'aof' | 'aof+rdb' | 'rdb';

/** What a freeze of Redis writes into `position` and `restore`, as far as it is read back. */
const positionSchema = z.looseObject({
  runId: z.string(),
  replid: z.string(),
  offset: z.number(),
  databases: z.record(z.string(), z.object({ keys: z.number(), expires: z.number() })),
  sample: z.record(z.string(), z.string()).optional(),
});

const restoreSchema = z.looseObject({
  persistence: z.enum(['aof', 'aof+rdb', 'rdb']),
  dir: z.string().nullable(),
  dbfilename: z.string(),
  appendfilename: z.string(),
  appenddirname: z.string().nullable(),
  files: z.array(
    z.object({ name: z.string(), size: z.number(), head: z.string(), tail: z.string() }),
  ),
});

export interface PromisedState {
  readonly position: z.infer<typeof positionSchema>;
  readonly restore: z.infer<typeof restoreSchema>;
}

/** @throws QuiesceError RESTORE_RECEIPT_INVALID for a receipt of another engine, or of no hold */
export function promiseIn(receipt: Receipt): PromisedState {
  const position = positionSchema.safeParse(receipt.position);
  const restore = restoreSchema.safeParse(receipt.restore);
  if (receipt.engine.name === 'redis' && position.success && restore.success) {
    const inside = [restore.data.dir ?? '', ...restore.data.files.map(({ name }) => name)];
    if (inside.every((path) => !path.startsWith('/') && !path.split('/').includes('..'))) {
      return { position: position.data, restore: restore.data };
    }
  }
  throw new QuiesceError(
    'RESTORE_RECEIPT_INVALID',
    `The receipt of ${receipt.id} does not say what a restore of Redis must contain.`,
  );
}

export function namesOf({ restore }: PromisedState): FileNames {
  const { dbfilename, appendfilename, appenddirname } = restore;
  return { dbfilename, appendfilename, appenddirname };
}
