import type { LeasePhase, LeaseView } from './requests.ts';
import { formatDuration } from '../lib/duration.ts';
import { QuiesceError } from '../errors.ts';
import type { Cause } from './lease-types.ts';
import type { Receipt } from '../receipt/receipt.ts';
import type { FreezeRun } from './freeze-run.ts';

/** @returns the receipt if it is a success. @throws QuiesceError NOT_CONSISTENT otherwise */
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
    'Mark the backup as failed. Make it again when no other thaw is expected: docs/velero.md says how long that takes, and how to end it. Give each backup its own --id, or let the later one wait: quiesce freeze --wait.';
  return new QuiesceError('NOT_CONSISTENT', message, { hint, details });
}

/** The error for every thaw of an ended freeze after the first. */
export function alreadyEnded(receipt: Receipt): QuiesceError {
  if (receipt.verdict !== 'consistent') return notConsistent(receipt);
  const { id, thawedAt, thawedBy } = receipt;
  const who = thawedBy === undefined ? '' : ` by ${thawedBy}`;
  return new QuiesceError(
    'ALREADY_THAWED',
    `Freeze ${id} was thawed at ${thawedAt}${who}. That thaw reported the success, and a success is reported once.`,
    { details: { receipt } },
  );
}

/** For the retry of a freeze call whose freeze was held and has ended since. */
export function endedSince(receipt: Receipt): QuiesceError {
  const why = receipt.notes.slice(-1)[0] ?? 'it was thawed';
  return new QuiesceError(
    'NOT_CONSISTENT',
    `Freeze ${receipt.id} was held and has ended before this retry: ${why}`,
    { hint: 'Freeze again: this freeze no longer holds anything.', details: { receipt } },
  );
}

/** For a thaw whose key belongs to an ended freeze, while another freeze is open. */
export function staleKey(open: string): QuiesceError {
  const hint = `Nothing was released. Use a new key for each call; to end freeze ${open}: quiesce thaw --id ${open}`;
  return new QuiesceError(
    'IDEMPOTENCY_KEY_REUSED',
    `This Idempotency-Key came with the thaw of an earlier freeze, and freeze ${open} is open now.`,
    { field: 'Idempotency-Key', hint },
  );
}

/** For a thaw whose freeze was refused, and whose id belongs to an earlier freeze too. */
export function refusedSince({ id, thawedAt }: Receipt): QuiesceError {
  return new QuiesceError(
    'NOT_FROZEN',
    `Freeze ${id} was refused because another one was held. The freeze with that id that was thawed at ${thawedAt} is an earlier one.`,
    { field: 'id' },
  );
}

/** For callers that wait for a release after an attempt has failed. */
export function notReleasedYet(error: QuiesceError, id: string): QuiesceError {
  return new QuiesceError(
    'ENGINE_FAILED',
    `Freeze ${id} could not be released yet: ${error.message} The sidecar retries until it succeeds.`,
    { cause: error },
  );
}

const ABORTED: Partial<Record<Cause, string>> = {
  'freeze-aborted': 'A thaw ended the freeze',
  abandoned: 'A caller abandoned the freeze',
  'caller-gone': 'The caller went away',
};

/** The error for the caller of a freeze whose hold was never in place. */
export function failureOf(
  run: Pick<FreezeRun, 'failure' | 'progress'>,
  cause: Cause,
  stage: string,
  late: boolean,
): QuiesceError {
  const undone = late ? 'the roll-back is still in progress' : 'everything was rolled back';
  if (cause === 'freeze-timeout') {
    const where = run.progress === undefined ? stage : `${stage}; ${run.progress}`;
    const message = `The hold was not in place by the timeout (it was at: ${where}); ${undone}.`;
    return new QuiesceError('FREEZE_TIMEOUT', message);
  }
  if (cause === 'freeze-failed') {
    return run.failure ?? new QuiesceError('ENGINE_FAILED', `The freeze failed; ${undone}.`);
  }
  if (cause === 'hold-lost') {
    const message = `The hold was lost before the freeze had finished; ${undone}.`;
    return new QuiesceError('ENGINE_FAILED', message);
  }
  if (cause === 'sidecar-stopped') {
    return new QuiesceError('SHUTTING_DOWN', `The sidecar is stopping; ${undone}.`);
  }
  const what = ABORTED[cause] ?? 'The freeze has ended';
  return new QuiesceError('FREEZE_ABORTED', `${what}; ${undone}.`);
}

/** For a freeze that comes while another one is held. @param waitedMs how long it has waited for its turn */
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
      : 'Raise --timeout (below the timeout of the hook), or schedule the backups so that they do not overlap.';
  return new QuiesceError(
    'FREEZE_HELD',
    `Freeze ${id} by ${lease?.by ?? 'unknown'} holds the database ${until}.${waited}`,
    {
      hint: `${wait} To renew it, if it is yours: quiesce freeze --renew --id ${id}. To end it, so that its backup fails: quiesce thaw --abandon --id ${id}`,
    },
  );
}

/** For a thaw of a freeze that was waiting for its turn. */
export function waitEnded(id: string | undefined): QuiesceError {
  const message = `Freeze ${id} was still waiting for its turn and held nothing; it no longer waits.`;
  return new QuiesceError('NOT_FROZEN', message, { field: 'id' });
}

/** For a renewal while another freeze is held. */
export function renewalRefused(id: string, lease: LeaseView | null): QuiesceError {
  const message = `Freeze ${id} is not held: ${lease?.id ?? 'another one'} is, by ${lease?.by ?? 'another caller'}.`;
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

/** For a thaw that matches no freeze. @param open id of the freeze that is held, if any */
export function nothingToThaw(id: string | undefined, open: string | undefined): QuiesceError {
  if (id === undefined) return new QuiesceError('NOT_FROZEN', 'Nothing is frozen.');
  const other = open === undefined ? 'Nothing is frozen.' : `The open freeze is ${open}.`;
  return new QuiesceError('NOT_FROZEN', `There is no freeze ${id}. ${other}`, { field: 'id' });
}

/** @returns the requested duration. @throws QuiesceError INVALID_FIELD where it is out of bounds */
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
    `QUIESCE_ENGINE is ${configured}, but the journal has freeze ${id} of ${engine.name}, which is not released yet.`,
    {
      field: 'QUIESCE_ENGINE',
      hint: `Start once with QUIESCE_ENGINE=${engine.name}. If that database is gone for good, remove open.json from QUIESCE_STATE_DIR.`,
    },
  );
}
