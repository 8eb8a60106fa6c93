import type { z } from 'zod';
import { QuiesceError } from '../../errors.ts';
import type { Receipt } from '../../receipt/receipt.ts';
import type { EngineName } from '../names.ts';

interface Promised<P, R> {
  readonly position: P;
  readonly restore: R;
}

/** The error for a receipt given for a verification. @param what completes "The receipt …". */
export function unusable(what: string): QuiesceError {
  return new QuiesceError('INVALID_FIELD', `The receipt ${what}.`, { field: 'receipt' });
}

/** The error for the receipt that a copy carries. @param what completes "The receipt …". */
export function invalid(what: string): QuiesceError {
  return new QuiesceError('RESTORE_RECEIPT_INVALID', `The receipt ${what}.`);
}

/**
 * Reads what a receipt promises, in the terms of this engine.
 *
 * @param refuse makes the error for a receipt of another engine, of a freeze that was never in place, or
 * that cannot be read.
 * @throws QuiesceError as `refuse` makes it
 */
export function promisedIn<P, R>(
  receipt: Receipt,
  engine: EngineName,
  schemas: { readonly position: z.ZodType<P>; readonly restore: z.ZodType<R> },
  refuse = unusable,
): Promised<P, R> {
  if (receipt.engine.name !== engine) {
    throw refuse(`is of the engine ${receipt.engine.name}, not ${engine}`);
  }
  if (receipt.position === null || receipt.restore === null) {
    throw refuse('has no position: its freeze was never in place');
  }
  const position = schemas.position.safeParse(receipt.position);
  if (!position.success) {
    throw refuse(`has a position that cannot be read: ${firstIssue(position.error)}`);
  }
  const restore = schemas.restore.safeParse(receipt.restore);
  if (!restore.success) {
    throw refuse(`has a restore section that cannot be read: ${firstIssue(restore.error)}`);
  }
  return { position: position.data, restore: restore.data };
}

function firstIssue({ issues: [issue] }: z.ZodError): string {
  return issue ? `${issue.path.map(String).join('.')}: ${issue.message}` : 'unknown';
}
