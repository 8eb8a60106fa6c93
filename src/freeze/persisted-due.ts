import { z } from 'zod';
import { type DueThaw, LATE_AT_MOST_MS, unexpired } from './due-thaws.ts';

/** A thaw that is still to come, as it outlives the process: on the wall clock. */
export const persistedDueSchema = z.object({
  id: z.string().nullable(),
  named: z.boolean(),
  retried: z.boolean(),
  byIdOnly: z.boolean().optional(),
  key: z.string().optional(),
  /** Milliseconds since 1970; `null`: for as long as the freeze lasted that was open then. */
  until: z.number().nullable(),
  /** How long it was still to be waited for when this was written. */
  leftMs: z.number(),
  /** The clock of the machine then, which no correction of the time moves; absent: it tells none. */
  boot: z.object({ id: z.string(), ms: z.number() }).optional(),
});
export type PersistedDue = z.infer<typeof persistedDueSchema>;

/** The same moment on the process's monotonic clock, on the wall clock, and since the machine started. */
export interface Clock {
  readonly now: number;
  readonly wallNow: number;
  readonly boot?: { readonly id: string; readonly ms: number };
}

export function toPersisted(due: readonly DueThaw[], clock: Clock): PersistedDue[] {
  const { now, wallNow, boot } = clock;
  return unexpired(due, now).map(({ until, ...one }) => {
    const forever = until === Infinity;
    const leftMs = forever ? LATE_AT_MOST_MS : until - now;
    const known = boot === undefined ? {} : { boot };
    return { ...one, until: forever ? null : wallNow + leftMs, leftMs, ...known };
  });
}

/**
 * However the wall clock was set since, none is waited for any longer than it was to be then; nor any
 * shorter, as long as the machine has not been started again.
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
