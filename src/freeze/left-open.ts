import { type DueThaw, LATE_AT_MOST_MS, lateWindow } from './due-thaws.ts';
import type { Clock } from './persisted-due.ts';
import type { FreezeRun } from './freeze-run.ts';

/**
 * The thaw that is to come of a freeze whose sidecar died: its caller has heard that it was held, or
 * nothing. However the wall clock was set since, its lease is not taken to run for longer than its length
 * from now.
 */
export function lateThawOf(
  { owner, receipt }: Pick<FreezeRun, 'owner' | 'receipt'>,
  { now, wallNow }: Clock,
): DueThaw[] {
  const { frozenAt, expiresAt } = receipt;
  if (frozenAt === null || expiresAt === null) {
    const one = { ...owner, until: now + LATE_AT_MOST_MS, retried: true };
    return [owner.named ? { ...one, byIdOnly: true } : { ...one, id: null }];
  }
  const leaseMs = Date.parse(expiresAt) - Date.parse(frozenAt);
  // A clock that was set forward while nothing ran must not end it: at least the late window is waited for.
  const leftMs = Math.max(0, Math.min(Date.parse(expiresAt) - wallNow, leaseMs));
  return [{ ...owner, until: now + leftMs + lateWindow(leaseMs), retried: false }];
}
