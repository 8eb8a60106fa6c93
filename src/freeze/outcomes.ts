import type { LeasePhase, LeaseView } from './requests.ts';
import { formatDuration } from '../lib/duration.ts';
import { QuiesceError } from '../errors.ts';
import type { Cause } from './lease-types.ts';
import type { Receipt } from '../receipt/receipt.ts';
import type { FreezeRun } from './freeze-run.ts';

/** The receipt, if it is a success; the error of a thaw that is none, otherwise. */
export function successOf(receipt: Receipt): Receipt {
  if (receipt.verdict === 'consistent') return receipt;
  throw notConsistent(receipt);
}

function notConsistent(receipt: Receipt): QuiesceError {
  const { id, reasons } = receipt;
  const why = receipt.notes.slice(-1)[0] ?? reasons.join(', ');
  const details = { receipt };
  if (!reasons.includes('thaw-ambiguous')) {
    const message = `Freeze ${id} did not hold: ${why}`;
    return new QuiesceError('NOT_CONSISTENT', message, { details });
  }
  const message = `Freeze ${id} is released, but not proven: ${why}`;
  const hint =
    'Mark the backup as failed and make it again. Give each of several backups an --id of its own, or let the later one wait: quiesce freeze --wait.';
  return new QuiesceError('NOT_CONSISTENT', message, { hint, details });
}

/** What every thaw but the first is told of a freeze that has ended. */
export function alreadyEnded(receipt: Receipt): QuiesceError {
  if (receipt.verdict !== 'consistent') return notConsistent(receipt);
  const { id, thawedAt, thawedBy } = receipt;
  const who = thawedBy === undefined ? '' : ` by ${thawedBy}`;
  return new QuiesceError(
    'ALREADY_THAWED',
    `Freeze ${id} was thawed at ${thawedAt}${who}. Its success was told to that thaw, and is told once.`,
    { details: { receipt } },
  );
}

/** For the retry of a freeze that was held, and has ended before its caller heard of it. */
export function endedSince(receipt: Receipt): QuiesceError {
  const why = receipt.notes.slice(-1)[0] ?? 'it was thawed';
  return new QuiesceError(
    'NOT_CONSISTENT',
    `Freeze ${receipt.id} was held and has ended before this retry: ${why}`,
    { hint: 'Freeze again: this freeze holds nothing any more.', details: { receipt } },
  );
}

/** For a thaw by a key of a freeze that has ended, while another one is open. */
export function staleKey(open: string): QuiesceError {
  const hint = `Nothing was released. A new key is needed for each call; to end freeze ${open}: quiesce thaw --id ${open}`;
  return new QuiesceError(
    'IDEMPOTENCY_KEY_REUSED',
    `This Idempotency-Key came with the thaw of an earlier freeze, and freeze ${open} is open now.`,
    { field: 'Idempotency-Key', hint },
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
export function notReleasedYet(error: QuiesceError, id: string): QuiesceError {
  return new QuiesceError(
    'ENGINE_FAILED',
    `Freeze ${id} could not be released yet: ${error.message} It is tried again until it succeeds.`,
    { cause: error },
  );
}

const ABORTED: Partial<Record<Cause, string>> = {
  'freeze-aborted': 'A thaw ended the freeze',
  abandoned: 'Somebody abandoned the freeze',
  'caller-gone': 'The caller went away',
};

/** What the callers of a freeze that never came to be are told. */
export function failureOf(
  run: Pick<FreezeRun, 'failure' | 'progress'>,
  cause: Cause,
  stage: string,
  late: boolean,
): QuiesceError {
  const undone = late ? 'the roll-back is still under way' : 'everything was rolled back';
  if (cause === 'freeze-timeout') {
    const where = run.progress === undefined ? stage : `${stage}; ${run.progress}`;
    const message = `The hold was not in place by the timeout (it was at: ${where}); ${undone}.`;
    return new QuiesceError('FREEZE_TIMEOUT', message);
  }
  if (cause === 'freeze-failed') {
    return run.failure ?? new QuiesceError('ENGINE_FAILED', `The freeze failed; ${undone}.`);
  }
  if (cause === 'hold-lost') {
    const message = `The hold was lost while the freeze was made; ${undone}.`;
    return new QuiesceError('ENGINE_FAILED', message);
  }
  if (cause === 'sidecar-stopped') {
    return new QuiesceError('SHUTTING_DOWN', `The sidecar is stopping; ${undone}.`);
  }
  const what = ABORTED[cause] ?? 'The freeze has ended';
  return new QuiesceError('FREEZE_ABORTED', `${what}; ${undone}.`);
}

/** For a freeze that comes while another one is held, after it has waited for so long. */
export function heldByAnother(
  lease: LeaseView | null,
  phase: LeasePhase,
  waitedMs?: number,
): QuiesceError {
  const id = lease?.id ?? 'unknown';
  const until = lease?.expiresAt ? `until ${lease.expiresAt}` : `(${phase})`;
  const waited = waitedMs === undefined ? '' : ` Waited ${formatDuration(waitedMs)} for it to end.`;
  const wait =
    waitedMs === undefined
      ? 'Wait for its end with: quiesce freeze --wait.'
      : 'Give --timeout more time (below the timeout of the hook), or let the backups not overlap.';
  return new QuiesceError(
    'FREEZE_HELD',
    `Freeze ${id} by ${lease?.by ?? 'unknown'} holds the database ${until}.${waited}`,
    {
      hint: `${wait} To renew it, if it is yours: quiesce freeze --renew --id ${id}. To end it, so that its backup fails: quiesce thaw --abandon --id ${id}`,
    },
  );
}

/** For a thaw of a freeze that waited for its turn. */
export function waitEnded(id: string | undefined): QuiesceError {
  const message = `Freeze ${id} only waited for its turn, and does not any more.`;
  return new QuiesceError('NOT_FROZEN', message, { field: 'id' });
}

/** For a renewal while another freeze is held. */
export function renewalRefused(id: string, lease: LeaseView | null): QuiesceError {
  const message = `Freeze ${id} is not held: ${lease?.id ?? 'another one'} is, by ${lease?.by ?? 'somebody else'}.`;
  const hint = `The lease of ${id} has ended: mark its backup as failed, and freeze again without --renew.`;
  return new QuiesceError('FREEZE_HELD', message, { field: 'id', hint });
}

/** For the renewal of a freeze that is not held. */
export function nothingToRenew(id: string): QuiesceError {
  return new QuiesceError('NOT_FROZEN', `Freeze ${id} is not held, so it cannot be renewed.`, {
    field: 'id',
    hint: 'Its lease has ended: mark the backup as failed, and freeze again without --renew.',
  });
}

/** For a thaw that can mean no freeze; `open` is the id of the one that is held, if any. */
export function nothingToThaw(id: string | undefined, open: string | undefined): QuiesceError {
  if (id === undefined) return new QuiesceError('NOT_FROZEN', 'Nothing is frozen.');
  const other = open === undefined ? 'Nothing is frozen.' : `Freeze ${open} is another one.`;
  return new QuiesceError('NOT_FROZEN', `There is no freeze ${id}. ${other}`, { field: 'id' });
}

/** A duration a caller asked for, if it is within bounds. */
export function checkBounds(field: 'ttl' | 'timeout', ms: number, max: number): number {
  if (ms > 0 && ms <= max) return ms;
  const message = `${field} must be more than 0 and at most ${formatDuration(max)}.`;
  throw new QuiesceError('INVALID_FIELD', message, { field });
}

/** @throws QuiesceError CONFIG_INVALID: only the engine that holds a database can release it. */
export function requireSameEngine({ id, engine }: Receipt, configured: string): void {
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
