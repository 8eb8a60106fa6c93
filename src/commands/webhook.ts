import closeWithGrace from 'close-with-grace';
import { FLAGS, optionsOf, VARIABLES } from '../cluster/webhook/options.ts';
import { ownNamespace, startWebhook, type Webhook } from '../cluster/webhook/webhook.ts';
import { STOP_WITHIN_MS } from '../defaults.ts';
import { verb } from './verb.ts';

export const run = verb({
  name: 'webhook',
  usage: ['--image REF [flags]'],
  about: `
Runs a mutating admission webhook, which adds the sidecar, its volumes and the Velero annotations to
every pod with the label quiesce.dev/inject: "true". docs/webhook.md has the details.`,
  flags: FLAGS,
  variables: VARIABLES,
  notes: `An environment variable can set each flag: ${VARIABLES}IMAGE, ...; the flag overrides it.`,
  exits: { 0: 'stopped', 2: 'bad flags or an address in use', 1: 'unexpected' },
  work: async (values) => {
    const options = optionsOf(values, await ownNamespace());
    return await untilStopped(await startWebhook(options));
  },
});

/** Never resolves: the process exits when it gets a signal. */
function untilStopped(webhook: Webhook): Promise<number> {
  return new Promise(() => {
    closeWithGrace({ delay: STOP_WITHIN_MS, logger: false }, async ({ err }) => {
      if (err) process.stderr.write(`quiesce: INTERNAL: ${err.stack}\n`);
      await webhook.stop();
    });
  });
}
