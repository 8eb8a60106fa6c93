import type { Story } from '../story.ts';
import { lease } from './lease.ts';
import { killed } from './sidecar.ts';

/** What goes wrong in the middle of a backup or at a restore: nothing is called consistent that is not. */
export const ugly: readonly Story[] = [...lease, ...killed];
