import { QuiesceError } from '../../../errors.ts';

/** The error for a copy that lacks something, or has something that no copy of the freeze can have. */
export function incomplete(message: string): QuiesceError {
  return new QuiesceError('RESTORE_INCOMPLETE', message);
}
