import { z } from 'zod';
import type { Receipt } from '../../receipt/receipt.ts';
import { promisedIn } from '../shared/promised.ts';
import type { FileNames } from './data-dir/data-files.ts';

/** The files that the server would load at a restart. */
export type Persistence = 'aof' | 'aof+rdb' | 'rdb';

/** The fields of `position` and `restore` that a verification or a restore reads back. */
const positionSchema = z.looseObject({
  runId: z.string(),
  replid: z.string(),
  offset: z.number(),
  databases: z.record(z.string(), z.object({ keys: z.number(), expires: z.number() })),
  sample: z.record(z.string(), z.string()).optional(),
});

/** A receipt is untrusted input: its paths must not lead out of the volume. */
const relativePath = z
  .string()
  .refine(
    (path) => !path.startsWith('/') && !path.split('/').includes('..'),
    'leads out of the volume',
  );

const restoreSchema = z.looseObject({
  persistence: z.enum(['aof', 'aof+rdb', 'rdb']),
  dir: relativePath.nullable(),
  dbfilename: z.string(),
  appendfilename: z.string(),
  appenddirname: z.string().nullable(),
  files: z.array(
    z.object({
      name: relativePath,
      size: z.number(),
      head: z.string(),
      tail: z.string(),
      sha256: z.string().exactOptional(),
    }),
  ),
});

export interface ReceiptClaims {
  readonly position: z.infer<typeof positionSchema>;
  readonly restore: z.infer<typeof restoreSchema>;
}

/**
 * @param refuse makes the error for a receipt of another engine or of a freeze that was never in place.
 * Default: the error of a verification.
 */
export function claimsIn(
  receipt: Receipt,
  refuse?: Parameters<typeof promisedIn>[3],
): ReceiptClaims {
  return promisedIn(receipt, 'redis', { position: positionSchema, restore: restoreSchema }, refuse);
}

export function namesOf({ restore }: ReceiptClaims): FileNames {
  const { dbfilename, appendfilename, appenddirname } = restore;
  return { dbfilename, appendfilename, appenddirname };
}
