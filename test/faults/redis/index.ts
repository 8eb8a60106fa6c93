import { SERVERS } from '../../support/redis.ts';
import type { FaultEngine, FaultMode } from '../engine.ts';
import { RedisDatabase, type Setup } from './database.ts';

const SERVER_ENDS = ['kill-server', 'stop-server'];
const SYNC_STEPS = ['sync asked', 'synced', 'sync put back', 'sync is back'];
const GUARD_STEPS = ['guard put back', 'guard is back'];

/** `unpause`: another client releases the writers. `rewrite`, `save`: another client requests one. */
const FAULTS = ['unpause', 'rewrite', 'save', 'cut-clients'];

const REWRITES_SOON = ['auto-aof-rewrite-min-size 256kb'];
const AOF = ['appendonly yes', 'appendfsync everysec', ...REWRITES_SOON];

/** One volume, cut atomically, with an AOF. */
const aof = mode({ config: [...AOF, 'save ""'], copy: 'snapshot' }, 'aof');
/** One volume, cut atomically, with an RDB file only. */
const rdb = mode({ config: ['appendonly no', 'save 3600 1'], copy: 'snapshot' }, 'rdb');
/** Copied file by file, in random order, with an AOF and an RDB file. */
const files = mode({ config: [...AOF, 'save 3600 1'], copy: 'files' }, 'aof');

function mode(setup: Setup, keeps: 'aof' | 'rdb'): FaultMode {
  const isAof = keeps === 'aof';
  return {
    freezeSteps: [
      'journal rewritten',
      ...(isAof ? ['guard asked', 'guarded'] : []),
      'pause asked',
      'paused',
      ...(isAof ? SYNC_STEPS : ['save asked', 'saving']),
    ],
    thawSteps: ['unpause asked', 'unpaused', ...(isAof ? GUARD_STEPS : [])],
    evidenceSteps: {},
    faults: FAULTS,
    endsHold: [
      'kill-sidecar',
      'term-sidecar',
      ...SERVER_ENDS,
      'unpause',
      isAof ? 'rewrite' : 'save',
    ],
    stallsWriters: [...SERVER_ENDS, 'pause-server', 'volume-full'],
    timeoutsMs: [1_000, 8_000, 8_000],
    blocksWriters: true,
    holdsUntil: 'freeze',
    make: (options) => RedisDatabase.make(options, setup),
  };
}

export const engine: FaultEngine = { name: 'redis', versions: SERVERS, modes: { aof, rdb, files } };
