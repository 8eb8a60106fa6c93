import { runDemo } from '../demo/demo.ts';
import { DEMO_FLAGS, DEMO_FORMATS, optionsOf } from '../demo/options.ts';
import { verb } from './verb.ts';

export const run = verb({
  name: 'demo',
  usage: ['[--engine postgres|redis] [--seconds 4] [--keep | --stop] [-o text|json]'],
  about: `
Shows the main job on this machine, with an embedded PostgreSQL or a Redis or Valkey that is installed:
writers write, quiesce freezes, the volume is copied, quiesce thaws, and the copy is restored, verified
and compared with everything the writers were told had been written.`,
  flags: DEMO_FLAGS,
  formats: DEMO_FORMATS,
  exits: { 0: 'every check held', 7: 'one did not (it is named)', 2: 'bad flags', 1: 'unexpected' },
  work: async (values, { format }) =>
    await runDemo(optionsOf(values, format === 'json' ? 'json' : 'text')),
});
