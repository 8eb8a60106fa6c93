import { QuiesceError } from '../../../errors.ts';
import type { CopyMethod } from '../../../receipt/receipt.ts';
import type { Mode } from './mode.ts';
import { prepareOpen } from './open/open.ts';
import { preparePaused } from './paused/paused.ts';
import { prepareSealed } from './sealed/sealed.ts';
import { prepareStaged } from './staged/staged.ts';

/** The way to freeze for a copy method. It refuses volumes for which it cannot keep its promise. */
export function modeFor(copy: CopyMethod): Mode {
  if (copy === 'snapshot') return prepareSealed;
  return copy === 'volumes' ? prepareOpen : prepareStaged;
}

/** The copy methods for which a standby whose replay is paused keeps the promise. */
const PAUSED_COPIES = ['snapshot', 'files'] as const satisfies readonly CopyMethod[];

/**
 * The way to freeze a standby with QUIESCE_REPLICA=pause.
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
