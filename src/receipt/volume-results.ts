import { z } from 'zod';
import { type Receipt, receiptSchema } from './receipt.ts';
import { COPY_FILE, PREPARED_FILE, RESTORED_PREFIX, type ReceiptVolume } from './volume.ts';

/** The results of earlier restores, which stay on the volume. A file that cannot be read counts as none. */

const preparedSchema = z.object({ id: z.string() });
const copySchema = z.object({ id: z.string(), frozenAt: z.string().nullable() });
const restoredSchema = z.object({ receipt: receiptSchema, verifiedAt: z.string() });

/** The receipt of a restored copy that was checked on this volume; `null` where there is none. */
export async function restoredReceipt(volume: ReceiptVolume, id: string): Promise<Receipt | null> {
  return (await read(volume, `${RESTORED_PREFIX}${id}.json`, restoredSchema))?.receipt ?? null;
}

/** The receipt of the restored copy that was verified last; `null` where there is none. */
export async function lastRestored(volume: ReceiptVolume): Promise<Receipt | null> {
  const names = (await volume.names()).filter((name) => name.startsWith(RESTORED_PREFIX));
  const results = await Promise.all(names.map((name) => read(volume, name, restoredSchema)));
  const found = results.filter((one) => one !== null);
  found.sort((a, b) => (a.verifiedAt < b.verifiedAt ? 1 : -1));
  return found[0]?.receipt ?? null;
}

/** Whether `prepare-restore` has proven the copy of this freeze on this volume. */
export async function hasProven(volume: ReceiptVolume, id: string): Promise<boolean> {
  return (await read(volume, PREPARED_FILE, preparedSchema))?.id === id;
}

/**
 * Whether a pod of a restore has begun to prepare this copy and has not proven it. Both must be the same: a
 * freeze may have the id of an earlier one.
 */
export async function isKnownCopy(
  volume: ReceiptVolume,
  { id, frozenAt }: Pick<Receipt, 'id' | 'frozenAt'>,
): Promise<boolean> {
  const known = await read(volume, COPY_FILE, copySchema);
  return known !== null && known.id === id && known.frozenAt === frozenAt;
}

async function read<T>(
  volume: ReceiptVolume,
  name: string,
  schema: z.ZodType<T>,
): Promise<T | null> {
  const text = await volume.read(name).catch(() => 'null');
  try {
    return schema.safeParse(JSON.parse(text)).data ?? null;
  } catch {
    return null;
  }
}
