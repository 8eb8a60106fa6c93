import { type DueThaw, LATE_AT_MOST_MS, lateWindow } from './due-thaws.ts';
import type { Clock } from './persisted-due.ts';
import type { FreezeRun } from './freeze-run.ts';

/**
 * The thaw still expected of a freeze whose sidecar died: its caller got a success or no answer. The wall
 * clock may have been set since, so the lease counts as running for at most its full length from now.
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
  // A clock set forward while no sidecar ran must not end the wait: it lasts for at least the late window.
  const leftMs = Math.max(0, Math.min(Date.parse(expiresAt) - wallNow, leaseMs));
  return [{ ...owner, until: now + leftMs + lateWindow(leaseMs), retried: false }];
}
