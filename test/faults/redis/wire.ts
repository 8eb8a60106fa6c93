import type { Wire } from '../engine.ts';

/** Commands of a freeze, by text in them. UNPAUSE comes before PAUSE, because it contains it. */
export const wire: Wire = {
  steps: [
    ['UNPAUSE', 'unpause asked', 'unpaused'],
    ['PAUSE', 'pause asked', 'paused'],
    ['BGSAVE', 'save asked', 'saving'],
    ['\r\nappendfsync\r\n$6\r\nalways', 'sync asked', 'synced'],
    ['\r\nappendfsync\r\n$8\r\neverysec', 'sync put back', 'sync is back'],
    ['\r\nauto-aof-rewrite-percentage\r\n$1\r\n0', 'guard asked', 'guarded'],
    ['\r\nauto-aof-rewrite-percentage\r\n$3\r\n100', 'guard put back', 'guard is back'],
  ],
};
