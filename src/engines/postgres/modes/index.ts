import { QuiesceError } from '../../../errors.ts';
import type { CopyMethod } from '../../engine.ts';
import type { Mode } from './mode.ts';
import { preparePaused } from './paused.ts';
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

/** The copy methods for which a standby whose replay is paused keeps the promise. */
export const PAUSED_COPIES = ['snapshot', 'files'] as const satisfies readonly CopyMethod[];

/**
 * For a standby with QUIESCE_REPLICA=pause.
 *
 * @throws QuiesceError COPY_UNSUPPORTED
 */
export function pausedModeFor(copy: CopyMethod, onWait: (seconds: number) => void): Mode {
  if (PAUSED_COPIES.some((known) => known === copy)) {
    return (input, signal) => preparePaused(input, signal, onWait);
  }
  throw new QuiesceError(
    'COPY_UNSUPPORTED',
    `A paused replica keeps its promise for copy: ${PAUSED_COPIES.join(' and ')}, not for copy: ${copy}.`,
    { hint: 'Set QUIESCE_COPY=files or snapshot, or QUIESCE_REPLICA=run.', field: 'QUIESCE_COPY' },
  );
}
