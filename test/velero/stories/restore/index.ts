import type { Story } from '../story.ts';
import { files } from './files.ts';
import { inPlace } from './in-place.ts';
import { killed } from './killed.ts';
import { staged } from './staged.ts';
import { snapshots } from './snapshots.ts';
import { stuck } from './stuck.ts';

export const restore: readonly Story[] = [staged, killed, stuck, files, snapshots, inPlace];
