import { type ClusterConnection, connect, type PodConnection } from '../cluster/api/reader.ts';
import { KNOWN } from '../cluster/plan/custom-resources.ts';
import { namespacesNamed } from '../cluster/plan/references.ts';
import { PLAN_RESOURCES } from '../cluster/plan/resources.ts';
import { parseSelector, type Selection } from '../cluster/plan/selection.ts';
import type { Inventory } from '../cluster/inventory/catalog.ts';
import { readApplication } from '../cluster/inventory/read-application.ts';
import { QuiesceError } from '../errors.ts';
import { BadValue, duration, list, text, toggle, value } from '../lib/command-line/flags.ts';
import type { Values } from '../lib/command-line/flags.ts';
import { quote } from '../lib/command-line/printable.ts';
import { usage } from '../lib/command-line/read-flags.ts';
import { withDeadline } from '../lib/deadline.ts';

/** The flags that choose an application in a cluster. */
export const APPLICATION_FLAGS = {
  namespace: list(
    'NAME',
    "namespace of the application (the context's)",
    { short: 'n' },
    (name) => {
      if (/^[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?$/.test(name)) return name;
      throw new BadValue(`cannot be ${quote(name)}`);
    },
  ),
  'all-namespaces': toggle('all namespaces', { short: 'A' }),
  selector: value(
    'LABELS',
    'only workloads with these labels, such as app=shop,tier!=web',
    {},
    (given) => {
      const selector = parseSelector(given);
      if (selector !== undefined) return selector;
      throw new BadValue(`must be a label selector, not ${quote(given)}`);
    },
  ),
  group: value('NAME', 'only workloads annotated quiesce.dev/group: NAME', {}, (given) => {
    if (/^[A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?$/.test(given)) return given;
    throw new BadValue(`cannot be ${quote(given)}`);
  }),
  context: text('NAME', 'context of the kubeconfig', { otherwise: 'its current one' }),
  kubeconfig: text('FILE', 'kubeconfig of the cluster', {
    otherwise: "KUBECONFIG, ~/.kube/config, or the pod's service account",
  }),
} as const;

export type ApplicationOptions = Values<typeof APPLICATION_FLAGS>;

/** Verbs of applications exit with 3 if something does not answer: a sidecar, or the API server. */
export const APPLICATION_EXITS = { CLUSTER_UNREACHABLE: 3 } as const;

/** How long a verb may read before it gives up. */
export const READ_TIMEOUT = duration(
  'how long reading the cluster may take',
  { fallback: '2m' },
  1_000,
);

/** @throws QuiesceError USAGE if flags exclude each other */
export function checkSelection(verb: string, options: ApplicationOptions): void {
  if (options['all-namespaces'] && options.namespace.length > 0) {
    throw usage(verb, '-A and --namespace exclude each other', '--all-namespaces');
  }
}

/** @param namespace the one that counts if no flag names any; `undefined`: all */
export function selectionOf(options: ApplicationOptions, namespace: string | undefined): Selection {
  const { namespace: named, selector, group } = options;
  const own = namespace === undefined ? undefined : [namespace];
  const chosen = named.length > 0 ? [...new Set(named)] : own;
  return { namespaces: options['all-namespaces'] ? undefined : chosen, selector, group };
}

/**
 * @param end breaks off requests that get no answer
 * @throws QuiesceError CLUSTER_UNREACHABLE if there is no such context or kubeconfig
 */
export function connectTo(
  { context, kubeconfig }: Pick<ApplicationOptions, 'context' | 'kubeconfig'>,
  end?: AbortSignal,
): PodConnection {
  try {
    return connect({ context, kubeconfig }, end);
  } catch (error) {
    const reason = error instanceof Error ? (error.message.split('\n')[0] ?? '') : String(error);
    throw new QuiesceError('CLUSTER_UNREACHABLE', `There is no cluster to read: ${reason}.`, {
      cause: error,
    });
  }
}

/** Reads all objects that the plan of an application rests on. */
export async function readForPlan(
  connection: ClusterConnection,
  { namespaces }: Selection,
  { timeoutMs, progress }: { timeoutMs: number; progress: (sentence: string) => void },
): Promise<Inventory> {
  const reading = readApplication(connection, {
    namespaces,
    resources: PLAN_RESOURCES,
    custom: KNOWN,
    alsoIn: namespacesNamed,
    now: Date.now(),
    progress,
  });
  try {
    return await withDeadline(timeoutMs, reading);
  } catch (error) {
    if (error instanceof QuiesceError) throw error;
    const reason = error instanceof Error ? error.message : String(error);
    const text_ = `${connection.name} could not be read: ${reason}.`;
    throw new QuiesceError('CLUSTER_UNREACHABLE', text_, { cause: error });
  }
}
