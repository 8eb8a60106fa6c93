import type { LeasePhase, LeaseView } from '../control.ts';
import { formatDuration } from '../duration.ts';
import { QuiesceError } from '../errors.ts';
import type { Cause } from './lease-types.ts';
import type { Receipt } from './receipt.ts';
import type { FreezeRun } from './run.ts';

/** The receipt, if it is a success; the error of a thaw that is none, otherwise. */
export function answer(receipt: Receipt): Receipt {
  if (receipt.verdict === 'consistent') return receipt;
  const why = receipt.notes.slice(-1)[0] ?? receipt.reasons.join(', ');
  if (receipt.reasons.includes('thaw-ambiguous')) throw unclear(receipt, why);
  throw new QuiesceError('NOT_CONSISTENT', `Freeze ${receipt.id} did not hold: ${why}`, {
    details: { receipt },
  });
}

function unclear(receipt: Receipt, why: string): QuiesceError {
  return new QuiesceError(
    'NOT_CONSISTENT',
    `Freeze ${receipt.id} is released, but not proven: ${why}`,
    {
      hint: `Mark the backup as failed and make it again, with the same --id for freeze and thaw. Where no other thaw is to come: quiesce thaw --id ${receipt.id} says so.`,
      details: { receipt },
    },
  );
}

/** For a thaw without an id of a freeze that has ended, while another one's thaw may still come. */
export function ambiguous(receipt: Receipt): QuiesceError {
  return new QuiesceError(
    'NOT_CONSISTENT',
    `Freeze ${receipt.id} was thawed at ${receipt.thawedAt} already, and another freeze was refused while it was held, or had ended by itself before: without an id nobody can tell whose thaw this is.`,
    {
      hint: `If it is yours, and its copy was complete by then: quiesce thaw --id ${receipt.id}`,
      details: { receipt },
    },
  );
}

/** For a thaw by an id that was used again, of a freeze that never began. */
export function refusedSince({ id, thawedAt }: Receipt): QuiesceError {
  return new QuiesceError(
    'NOT_FROZEN',
    `Freeze ${id} was refused, while another one was held. An earlier one of that id was thawed at ${thawedAt}, and is not this one.`,
    { field: 'id' },
  );
}

/** For those who wait for a release that has failed once. */
export function stuck(error: QuiesceError, id: string): QuiesceError {
  return new QuiesceError(
    'ENGINE_FAILED',
    `Freeze ${id} could not be released yet: ${error.message} It is tried again until it succeeds.`,
    { cause: error },
  );
}

/** What the callers of a freeze that never came to be are told. */
export function failureOf(
  run: Pick<FreezeRun, 'failure' | 'progress'>,
  cause: Cause,
  stage: string,
  late: boolean,
): QuiesceError {
  const undone = late ? 'the roll-back is still under way' : 'everything was rolled back';
  switch (cause) {
    case 'freeze-timeout':
      return new QuiesceError(
        'FREEZE_TIMEOUT',
        `The hold was not in place by the timeout (it was at: ${run.progress === undefined ? stage : `${stage}; ${run.progress}`}); ${undone}.`,
      );
    case 'freeze-failed':
      return run.failure ?? new QuiesceError('ENGINE_FAILED', `The freeze failed; ${undone}.`);
    case 'hold-lost':
      return new QuiesceError(
        'ENGINE_FAILED',
        `The hold was lost while the freeze was made; ${undone}.`,
      );
    case 'sidecar-stopped':
      return new QuiesceError('SHUTTING_DOWN', `The sidecar is stopping; ${undone}.`);
    case 'freeze-aborted':
      return new QuiesceError('FREEZE_ABORTED', `A thaw ended the freeze; ${undone}.`);
    case 'caller-gone':
      return new QuiesceError('FREEZE_ABORTED', `The caller went away; ${undone}.`);
    case 'thaw':
    case 'thaw-ambiguous':
    case 'lease-expired':
    case 'interrupted':
      return new QuiesceError('FREEZE_ABORTED', `The freeze has ended; ${undone}.`);
  }
}

/** For a freeze that comes while another one is held. */
export function heldBy(lease: LeaseView | null, phase: LeasePhase): QuiesceError {
  const id = lease?.id ?? 'unknown';
  const until = lease?.expiresAt ? `until ${lease.expiresAt}` : `(${phase})`;
  return new QuiesceError(
    'FREEZE_HELD',
    `Freeze ${id} by ${lease?.by ?? 'unknown'} holds the database ${until}.`,
    { hint: `Wait until it ends, or end it with: quiesce thaw --id ${id}` },
  );
}

/** For a thaw that can mean no freeze; `open` is the id of the one that is held, if any. */
export function nothingToThaw(id: string | undefined, open: string | undefined): QuiesceError {
  if (id === undefined) return new QuiesceError('NOT_FROZEN', 'Nothing is frozen.');
  const other = open === undefined ? 'Nothing is frozen.' : `Freeze ${open} is another one.`;
  return new QuiesceError('NOT_FROZEN', `There is no freeze ${id}. ${other}`, { field: 'id' });
}

/** A duration a caller asked for, if it is within bounds. */
export function within(field: 'ttl' | 'timeout', ms: number, max: number): number {
  if (ms > 0 && ms <= max) return ms;
  throw new QuiesceError(
    'INVALID_FIELD',
    `${field} must be more than 0 and at most ${formatDuration(max)}.`,
    {
      field,
    },
  );
}

/** @throws QuiesceError CONFIG_INVALID: only the engine that holds a database can release it. */
export function refuseOther({ id, engine }: Receipt, configured: string): void {
  if (engine.name === configured) return;
  throw new QuiesceError(
    'CONFIG_INVALID',
    `QUIESCE_ENGINE: is ${configured}, but the journal holds freeze ${id} of ${engine.name}, which is not released yet.`,
    {
      field: 'QUIESCE_ENGINE',
      hint: `Start once with QUIESCE_ENGINE=${engine.name}; where that database is gone for good, remove open.json from QUIESCE_STATE_DIR.`,
    },
  );
}
