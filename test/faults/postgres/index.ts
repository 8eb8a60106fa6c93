import { MAJORS } from '../../../src/demo/options.ts';
import type { FaultEngine } from '../engine.ts';
import { sealed } from './sealed.ts';

export const engine: FaultEngine = {
  name: 'postgres',
  versions: ['17', ...MAJORS.map(String).filter((major) => major !== '17')],
  modes: { sealed },
};
