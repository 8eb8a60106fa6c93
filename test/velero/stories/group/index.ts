import type { Story } from '../story.ts';
import { broken } from './broken.ts';
import { clock } from './clock.ts';
import { fromBackup } from './from-backup.ts';
import { killed } from './killed.ts';
import { live } from './live.ts';
import { playPairs, playUnfrozen } from './pairs.ts';
import { rights } from './rights.ts';
import { schedule } from './schedule.ts';
import { velero } from './velero.ts';
import { whole } from './whole.ts';

const pairs = 'writers to PostgreSQL and Redis';

export const group: readonly Story[] = [
  whole,
  {
    name: 'group-exact',
    group: 'group',
    title: `${pairs}, one group snapshot: each restored group is of one moment`,
    inCi: false,
    play: async (stage) =>
      await playPairs(stage, { namespace: 'group-exact', flags: [], together: 'exact' }),
  },
  {
    name: 'group-complete',
    group: 'group',
    title: `${pairs}, one snapshot each: everything before the run is in both`,
    inCi: false,
    play: async (stage) =>
      await playPairs(stage, {
        namespace: 'group-complete',
        flags: ['--no-group-snapshot'],
        together: 'complete-to',
      }),
  },
  {
    name: 'group-unfrozen',
    group: 'group',
    title: `${pairs}, nothing frozen: the same comparison finds them torn`,
    inCi: false,
    play: async (stage) => await playUnfrozen(stage, 'group-unfrozen'),
  },
  killed,
  broken,
  rights,
  schedule,
  velero,
  fromBackup,
  clock,
  live,
];
