import { bounded, writeArchive } from '../cluster/collect/archive.ts';
import { collect } from '../cluster/collect/collect.ts';
import { planOf } from '../cluster/plan/plan.ts';
import { QuiesceError, toQuiesceError } from '../errors.ts';
import { duration, text } from '../lib/command-line/flags.ts';
import { oneLine } from '../lib/command-line/printable.ts';
import { abortedWithin } from '../lib/deadline.ts';
import {
  APPLICATION_EXITS,
  APPLICATION_FLAGS,
  checkSelection,
  connectTo,
  readForPlan,
  selectionOf,
} from './application-flags.ts';
import { verb } from './verb.ts';

const PART_MS = 60_000;

export const run = verb({
  name: 'collect',
  usage: ['[-n NAMESPACE]... [--file FILE] [flags]'],
  about: `
Writes one file for support: the plan, a validation, the objects of the application, events, what each
sidecar says and has logged, the webhook's log, recorded runs, Velero's objects, and versions. Of Secrets
and ConfigMaps it takes the names of their keys only, of most variables the names; logs and messages lose
passwords, tokens and keys by their shape. Look at the file before you give it away.`,
  flags: {
    ...APPLICATION_FLAGS,
    file: text('FILE', 'the file to write; it must not exist', {
      otherwise: 'quiesce-NAMESPACE-TIME.tar.gz',
    }),
    'velero-namespace': text('NAME', 'namespace of Velero', { fallback: 'velero' }),
    timeout: duration('how long it may take', { fallback: '5m' }, 1_000),
  },
  formats: ['text', 'json'],
  exits: {
    0: 'written; what could not be read is named',
    2: 'bad flags, or a file that exists',
    3: 'the Kubernetes API cannot be reached, or refuses',
    1: 'unexpected',
  },
  exitCodes: APPLICATION_EXITS,
  work: async (options, surface) => {
    checkSelection('collect', options);
    const signal = abortedWithin(options.timeout, surface.signal);
    const connection = connectTo(options, signal);
    const selection = selectionOf(options, connection.namespace);
    const progress = (sentence: string): void => surface.progress.say(sentence);
    const reading = { timeoutMs: options.timeout, progress };
    const inventory = await readForPlan(connection, selection, reading);
    const found = await collect(
      connection,
      inventory,
      planOrProblem(inventory, selection),
      { veleroNamespace: options['velero-namespace'], partMs: PART_MS, progress },
      signal,
    );
    const { entries, shortened } = bounded(found.entries);
    const unread = [
      ...found.unread,
      ...shortened.map((one) => `${one}: only its beginning, or nothing`),
    ];
    const name = (selection.namespaces ?? ['all']).join('-').slice(0, 60);
    const root = `quiesce-${name}-${new Date().toISOString().replaceAll(/[-:]|\..*/g, '')}`;
    const file = options.file ?? `${root}.tar.gz`;
    const list = { name: 'unread.txt', text: unread.map((one) => `${oneLine(one)}\n`).join('') };
    const bytes = await writeArchive(file, root, [...entries, list]).catch((error: unknown) => {
      const { code, message } = error as NodeJS.ErrnoException;
      const why = code === 'EEXIST' ? 'it exists already' : (code ?? message);
      throw new QuiesceError('USAGE', `${file} cannot be written: ${why}.`, { field: '--file' });
    });
    const document = { apiVersion: 'quiesce.dev/v1', kind: 'Collection', file, bytes, unread };
    await surface.print(document, () =>
      [
        `${file} (${Math.ceil(bytes / 1_024)} KiB)`,
        ...(unread.length === 0 ? [] : ['Not read:', ...unread.map((one) => `  ${oneLine(one)}`)]),
        'Secrets were left out by name and shape. Look at it before you give it away.',
      ].join('\n'),
    );
    return 0;
  },
});

/** An application that cannot be planned is one that support wants to see. */
function planOrProblem(...given: Parameters<typeof planOf>) {
  try {
    return planOf(...given);
  } catch (error) {
    return { problem: toQuiesceError(error).message };
  }
}
