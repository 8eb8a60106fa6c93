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
});
export type PersistedDue = z.infer<typeof persistedDueSchema>;

/** The same moment on the monotonic and on the wall clock. */
export interface Clock {
  readonly now: number;
  readonly wallNow: number;
}

export function toPersisted(due: readonly DueThaw[], { now, wallNow }: Clock): PersistedDue[] {
  return unexpired(due, now).map(({ until, ...one }) => {
    const forever = until === Infinity;
    const leftMs = forever ? LATE_AT_MOST_MS : until - now;
    return { ...one, until: forever ? null : wallNow + leftMs, leftMs };
  });
}

/** However the wall clock was set since, none is waited for any longer than it was to be then. */
export function fromPersisted(due: readonly PersistedDue[], { now, wallNow }: Clock): DueThaw[] {
  const read = due.map(({ until, leftMs, key, byIdOnly, ...one }): DueThaw => {
    const left = until === null ? leftMs : Math.min(until - wallNow, leftMs);
    const known = { ...(key === undefined ? {} : { key }), ...(byIdOnly ? { byIdOnly } : {}) };
    return { ...one, until: now + left, ...known };
  });
  return [...unexpired(read, now)];
}
