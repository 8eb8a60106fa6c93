import { MAJORS } from '../../../src/demo/options.ts';
import type { FaultEngine } from '../engine.ts';
import { open } from './open.ts';
import { paused } from './paused.ts';
import { sealed } from './sealed.ts';
import { staged } from './staged.ts';

export const engine: FaultEngine = {
  name: 'postgres',
  versions: ['17', ...MAJORS.map(String).filter((major) => major !== '17')],
  modes: { sealed, open, staged, paused },
};
