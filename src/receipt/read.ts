import { readFile, stat } from 'node:fs/promises';
import { QuiesceError } from '../errors.ts';
import { describeErrno } from '../lib/durable-files.ts';
import { type Receipt, receiptSchema } from './receipt.ts';

/** In bytes. A receipt is below a megabyte, even with thousands of databases. */
export const LARGEST_RECEIPT = 16 << 20;

/**
 * Reads a receipt from a file that a user passes. It contains the receipt's JSON, or the line that
 * `quiesce thaw` printed, alone or in a log. The last such line counts.
 *
 * @throws QuiesceError USAGE where the file cannot be read, RESTORE_RECEIPT_INVALID where it contains
 *   no valid receipt
 */
export async function readGivenReceipt(path: string): Promise<Receipt> {
  const text = await read(path);
  const line = text
    .split('\n')
    .findLast((candidate) => candidate.includes(' receipt={'))
    ?.trim();
  const json = line === undefined ? text : line.slice(line.indexOf(' receipt={') + 9);
  let value: unknown;
  try {
    value = JSON.parse(json);
  } catch {
    throw invalid(path, 'it is neither JSON nor the line of a thaw');
  }
  const parsed = receiptSchema.safeParse(value);
  if (parsed.success) return parsed.data;
  const issue = parsed.error.issues[0];
  throw invalid(path, `${issue?.path.join('.') || 'it'}: ${issue?.message ?? 'not a receipt'}`);
}

async function read(path: string): Promise<string> {
  try {
    const info = await stat(path);
    if (info.isFile() && info.size <= LARGEST_RECEIPT) return await readFile(path, 'utf8');
  } catch (error) {
    throw new QuiesceError('USAGE', `--receipt: ${path}: ${describeErrno(error)}.`, {
      field: '--receipt',
      hint: 'Pass the file with the receipt that quiesce thaw printed.',
    });
  }
  throw invalid(path, 'it is not a receipt file');
}

function invalid(path: string, why: string): QuiesceError {
  return new QuiesceError('RESTORE_RECEIPT_INVALID', `${path} cannot be used: ${why}.`, {
    field: '--receipt',
    hint: 'Pass the receipt that quiesce thaw printed.',
  });
}
