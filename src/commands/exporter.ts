import closeWithGrace from 'close-with-grace';
import { connectWatcher, type ClusterWatcher } from '../cluster/api/watch.ts';
import { type Exporter, startExporter } from '../cluster/exporter/exporter.ts';
import { FLAGS } from '../cluster/exporter/options.ts';
import { STOP_WITHIN_MS } from '../defaults.ts';
import { QuiesceError } from '../errors.ts';
import type { Values } from '../lib/command-line/flags.ts';
import { usage } from '../lib/command-line/read-flags.ts';
import { APPLICATION_EXITS } from './application-flags.ts';
import { verb } from './verb.ts';

type Options = Values<typeof FLAGS>;

export const run = verb({
  name: 'exporter',
  usage: ['[-n NAMESPACE]... [flags]'],
  about: `
Serves the results of snapshots as metrics until it is stopped: of the runs that quiesce snapshot has
recorded, and of every VolumeSnapshot, those of Velero too. It changes nothing in the cluster.
docs/monitoring.md lists the metrics.`,
  flags: FLAGS,
  notes: `
It takes neither --group nor --selector, as each series has the label group, neither -o, as metrics have
one format, nor --timeout, as it runs until it is stopped.

It serves /metrics, /healthz and /readyz. While the cluster cannot be read, /readyz answers 503, the log
says why, and the exporter tries again.`,
  exits: {
    0: 'stopped',
    2: 'bad flags, or an address in use',
    3: 'no cluster is configured',
    1: 'unexpected',
  },
  exitCodes: APPLICATION_EXITS,
  work: async (options) => {
    const { namespace: names, 'all-namespaces': all } = options;
    if (all && names.length > 0) {
      throw usage('exporter', '-A and --namespace exclude each other', '--all-namespaces');
    }
    const exporter = await startExporter(connect(options), {
      namespaces: [...new Set(names)],
      address: options['metrics-addr'],
      failedAfterMs: options['failed-after'],
      logLevel: options['log-level'],
    });
    return await untilStopped(exporter);
  },
});

function connect({ context, kubeconfig }: Options): ClusterWatcher {
  try {
    return connectWatcher({ context, kubeconfig });
  } catch (error) {
    const reason = error instanceof Error ? (error.message.split('\n')[0] ?? '') : String(error);
    throw new QuiesceError('CLUSTER_UNREACHABLE', `There is no cluster to read: ${reason}.`, {
      cause: error,
    });
  }
}

/** Never resolves: the process exits when it gets a signal. */
function untilStopped(exporter: Exporter): Promise<number> {
  return new Promise(() => {
    closeWithGrace({ delay: STOP_WITHIN_MS, logger: false }, async ({ err }) => {
      if (err) process.stderr.write(`quiesce: INTERNAL: ${err.stack}\n`);
      await exporter.stop();
    });
  });
}
