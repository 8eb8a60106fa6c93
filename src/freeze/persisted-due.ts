import { z } from 'zod';
import { type DueThaw, LATE_AT_MOST_MS, unexpired } from './due-thaws.ts';

/** An expected thaw as the journal keeps it: on the wall clock. */
export const persistedDueSchema = z.object({
  id: z.string().nullable(),
  named: z.boolean(),
  retried: z.boolean(),
  byIdOnly: z.boolean().optional(),
  key: z.string().optional(),
  /** Milliseconds since 1970; `null`: while the freeze lasted that was open at the time of writing. */
  until: z.number().nullable(),
  /** How much longer it was expected at the time of writing. */
  leftMs: z.number(),
  /** The boot clock at the time of writing, which corrections of the wall clock do not move; absent: unknown. */
  boot: z.object({ id: z.string(), ms: z.number() }).optional(),
});
export type PersistedDue = z.infer<typeof persistedDueSchema>;

/** The same moment on the process's monotonic clock, on the wall clock, and on the boot clock. */
export interface Clock {
  readonly now: number;
  readonly wallNow: number;
  readonly boot?: { readonly id: string; readonly ms: number };
}

export function toPersisted(due: readonly DueThaw[], clock: Clock): PersistedDue[] {
  const { now, wallNow, boot } = clock;
  return unexpired(due, now).map(({ until, id, named, retried, byIdOnly, key }) => {
    const forever = until === Infinity;
    const leftMs = forever ? LATE_AT_MOST_MS : until - now;
    const known = {
      ...(byIdOnly === undefined ? {} : { byIdOnly }),
      ...(key === undefined ? {} : { key }),
      ...(boot === undefined ? {} : { boot }),
    };
    return { id, named, retried, until: forever ? null : wallNow + leftMs, leftMs, ...known };
  });
}

/**
 * Even if the wall clock was set since, no thaw is expected for longer than it was when written, nor for
 * less unless the machine has rebooted.
 */
export function fromPersisted(due: readonly PersistedDue[], clock: Clock): DueThaw[] {
  const read = due.map(({ until, leftMs, boot, key, byIdOnly, ...one }): DueThaw => {
    const known = { ...(key === undefined ? {} : { key }), ...(byIdOnly ? { byIdOnly } : {}) };
    return { ...one, until: clock.now + stillLeft({ until, leftMs, boot }, clock), ...known };
  });
  return [...unexpired(read, clock.now)];
}

function stillLeft(
  { until, leftMs, boot }: Pick<PersistedDue, 'until' | 'leftMs' | 'boot'>,
  clock: Clock,
): number {
  if (boot !== undefined && boot.id === clock.boot?.id) return leftMs - (clock.boot.ms - boot.ms);
  return until === null ? leftMs : Math.min(until - clock.wallNow, leftMs);
}
