import { readFile } from 'node:fs/promises';
import { text as readAll } from 'node:stream/consumers';
import { INJECT_FLAGS, readInjectConfig } from '../cluster/inject/flags.ts';
import { formatReports, injectManifest } from '../cluster/inject/manifest.ts';
import { unreadable } from '../cluster/inventory/read-manifests.ts';
import { QuiesceError } from '../errors.ts';
import { text, toggle } from '../lib/command-line/flags.ts';
import { verb } from './verb.ts';

export const run = verb({
  name: 'inject',
  usage: ['-f FILE --image REF [flags]'],
  about: `
Adds the sidecar, its volumes and the Velero annotations to every pod template with the label
quiesce.dev/inject: "true", and prints the manifest. It adds the same as the webhook, for GitOps and for
clusters that do not allow webhooks. All other text stays exactly as it is. Injecting the result again
changes nothing.`,
  flags: {
    filename: text('FILE', 'YAML or JSON with one or more objects; - reads standard input', {
      short: 'f',
      required: true,
    }),
    'prepare-restore': toggle(
      'add the init container quiesce-prepare-restore to every pod, not only to those with the annotation quiesce.dev/restore-name',
    ),
    ...INJECT_FLAGS,
  },
  variables: 'QUIESCE_INJECT_',
  notes: 'A report of the changes, with warnings for the owner, goes to standard error.',
  exits: {
    0: 'at least one pod has all it needs',
    2: 'bad flags, manifest or annotations, or nothing that can have a sidecar (then nothing is printed)',
    1: 'unexpected',
  },
  work: async (values, surface) => {
    const config = {
      ...readInjectConfig('inject', values),
      prepareRestore: values['prepare-restore'],
    };
    const { text: manifest, reports } = injectManifest(await read(values.filename), config);
    const summary = formatReports(reports);
    // Fail, or a pipeline would go on with an unprotected manifest in the belief that it is protected.
    if (reports.every(({ outcome }) => outcome === 'skipped')) {
      const sentence = summary.replaceAll('\n  ', ': ').replaceAll('\n', ' ');
      throw new QuiesceError('NOTHING_TO_INJECT', sentence);
    }
    await surface.print(reports, manifest);
    surface.say(summary);
    return 0;
  },
});

async function read(file: string): Promise<string> {
  if (file === '-') return await readAll(process.stdin);
  try {
    return await readFile(file, 'utf8');
  } catch (error) {
    throw unreadable(file, error);
  }
}
