import type { FaultEngine, FaultMode } from '../engine.ts';
import { MongoDatabase, type Member } from './database.ts';

const SERVER_ENDS = ['kill-server', 'stop-server'];

/** A standalone server: one volume, copied atomically while the server is locked. */
const alone: FaultMode = {
  freezeSteps: ['lock asked', 'locked', 'count asked', 'counted'],
  thawSteps: ['unlock asked', 'unlocked'],
  evidenceSteps: {},
  faults: ['foreign-unlock', 'foreign-lock'],
  endsHold: ['kill-sidecar', 'term-sidecar', ...SERVER_ENDS, 'foreign-unlock'],
  stallsWriters: [...SERVER_ENDS, 'pause-server', 'volume-full'],
  timeoutsMs: [1_000, 15_000, 15_000],
  blocksWriters: true,
  holdsUntil: 'freeze',
  make: (options) => MongoDatabase.make(options, 'alone'),
};

/** A member of a set of three; only the first one is ever elected. */
function member(which: Member, mode: Partial<FaultMode>): FaultMode {
  return { ...alone, ...mode, make: (options) => MongoDatabase.make(options, which) };
}

const primary = member('primary', {
  faults: [...alone.faults, 'step-down'],
  endsHold: [...alone.endsHold, 'step-down'],
  stallsWriters: [...alone.stallsWriters, 'step-down'],
});

/** Writers continue on the two others: no fault of this member may stop them. */
const secondary = member('secondary', {
  blocksWriters: false,
  stallsWriters: [],
});

export const engine: FaultEngine = {
  name: 'mongodb',
  versions: ['6.0'],
  modes: { alone, primary, secondary },
};
