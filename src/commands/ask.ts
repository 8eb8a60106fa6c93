import { readConfig } from '../config/config.ts';
import { loadAsk, loadEngine } from '../engines/index.ts';
import { ENGINE_NAMES } from '../engines/names.ts';
import { QuiesceError } from '../errors.ts';
import { duration, text } from '../lib/command-line/flags.ts';
import { verb } from './verb.ts';

export const run = verb({
  name: 'ask',
  usage: ['--statement SQL [--database NAME] [--timeout 10s] [-o json]'],
  about: `
Runs one statement that only reads, with the sidecar's own settings and login, and prints whether the
first value of its first row is neither null nor false.`,
  flags: {
    statement: text('SQL', 'one statement', { required: true }),
    database: text('NAME', "the database, instead of the sidecar's own", {}),
    timeout: duration('how long the statement may take', { fallback: '10s' }, 1),
  },
  formats: ['json'],
  compact: true,
  exits: { 0: 'answered, whatever it is', 2: 'bad flags', 5: 'the database refuses' },
  work: async ({ statement, database, timeout }, surface) => {
    const { engine, settings } = await readConfig({
      env: process.env,
      engines: ENGINE_NAMES,
      engineIssues: async (name, own) => (await loadEngine(name)).checkSettings(own),
    });
    const module = await loadAsk(engine);
    if (module === undefined) {
      throw new QuiesceError('USAGE', `There are no checks in SQL for ${engine}.`);
    }
    const question = { statement, database, timeoutMs: timeout };
    const answer = await module.ask(settings, question, surface.signal);
    await surface.print(answer, '');
    return 0;
  },
});
