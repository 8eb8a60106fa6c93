import type { Story } from '../story.ts';
import { killed } from './killed.ts';
import { staged } from './staged.ts';
import { snapshots } from './snapshots.ts';
import { stuck } from './stuck.ts';

export const restore: readonly Story[] = [staged, killed, stuck, snapshots];
