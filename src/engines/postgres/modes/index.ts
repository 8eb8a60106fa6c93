import { QuiesceError } from '../../../errors.ts';
import type { CopyMethod } from '../../engine.ts';
import type { Mode } from './mode.ts';
import { prepareSealed } from './sealed.ts';
import { prepareStaged } from './staged.ts';

/** The copy methods for which there is a freeze that keeps its promise. */
export const SUPPORTED_COPIES = ['snapshot', 'files'] as const satisfies readonly CopyMethod[];

/** @throws QuiesceError COPY_UNSUPPORTED */
export function modeFor(copy: CopyMethod): Mode {
  if (copy === 'snapshot') return prepareSealed;
  if (copy === 'files') return prepareStaged;
  const hints: Record<string, string> = {
    volumes: 'Keep data, WAL and tablespaces on one volume and set QUIESCE_COPY=snapshot.',
  };
  throw new QuiesceError(
    'COPY_UNSUPPORTED',
    `A PostgreSQL freeze keeps its promise for one volume, cut atomically or copied file by file, not for copy: ${copy}.`,
    { hint: hints[copy] ?? 'Set QUIESCE_COPY=snapshot.', field: 'QUIESCE_COPY' },
  );
}
