import type { Story } from '../story.ts';
import { uninstall, upgrade } from './helm.ts';
import { states } from './states.ts';

export const doctor: readonly Story[] = [states, upgrade, uninstall];
