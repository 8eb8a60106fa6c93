import { QuiesceError } from '../../../errors.ts';

/** The receipt is damaged or belongs to other data. */
export function receiptInvalid(message: string, hint?: string): QuiesceError {
  return new QuiesceError('RESTORE_RECEIPT_INVALID', message, hint === undefined ? {} : { hint });
}

/** Something the receipt needs is not in the copy. */
export function incomplete(message: string, hint?: string): QuiesceError {
  return new QuiesceError('RESTORE_INCOMPLETE', message, hint === undefined ? {} : { hint });
}

/** A server has run on the copy. */
export function dataPast(message: string): QuiesceError {
  return new QuiesceError('RESTORE_DATA_PAST', message);
}
