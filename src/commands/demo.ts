import { runDemo } from '../demo/demo.ts';
import { DEMO_FLAGS, DEMO_FORMATS, optionsOf } from '../demo/options.ts';
import { verb } from './verb.ts';

export const run = verb({
  name: 'demo',
  usage: ['[--engine postgres|redis] [--seconds 4] [--keep | --stop] [-o text|json]'],
  about: `
Shows a whole backup and restore on this machine, with an embedded PostgreSQL or an installed Redis or
Valkey: writers write, quiesce freezes, the volume is copied, quiesce thaws, and the copy is restored,
verified and compared with every write that the server acknowledged.`,
  flags: DEMO_FLAGS,
  formats: DEMO_FORMATS,
  exits: {
    0: 'every check passed',
    7: 'a check failed (the output says which)',
    2: 'bad flags',
    1: 'unexpected',
  },
  work: async (values, { format }) =>
    await runDemo(optionsOf(values, format === 'json' ? 'json' : 'text')),
});
