import type { Story } from '../story.ts';
import { application } from './application.ts';
import { backup } from './backup.ts';
import { engines } from './engines.ts';
import { isolation } from './isolation.ts';
import { killed } from './killed.ts';
import { truth } from './truth.ts';

export const drill: readonly Story[] = [engines, truth, killed, isolation, backup, application];
