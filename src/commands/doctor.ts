import { connectReader, type ClusterReader } from '../cluster/api/reader.ts';
import { examine } from '../cluster/doctor/examine.ts';
import { probe, restoredNotAsked } from '../cluster/doctor/probe.ts';
import { describeDiagnosis, diagnose, exitOf } from '../cluster/doctor/report.ts';
import { type Finding, SEVERITIES } from '../cluster/doctor/rule.ts';
import { secretUses } from '../cluster/doctor/rules/credentials.ts';
import type { Inventory } from '../cluster/inventory/catalog.ts';
import { readCluster } from '../cluster/inventory/read-cluster.ts';
import { readInventory } from '../cluster/inventory/read-manifests.ts';
import { survey } from '../cluster/inventory/survey.ts';
import { QuiesceError } from '../errors.ts';
import { BadValue, list, oneOf, text, toggle, type Values } from '../lib/command-line/flags.ts';
import { quote } from '../lib/command-line/printable.ts';
import { usage } from '../lib/command-line/read-flags.ts';
import { type Surface, verb } from './verb.ts';

const FLAGS = {
  'all-namespaces': toggle('all namespaces (the default)', { short: 'A' }),
  namespace: list('NAME', 'only this namespace', { short: 'n' }, (name) => {
    if (/^[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?$/.test(name)) return name;
    throw new BadValue(`cannot be ${quote(name)}`);
  }),
  filename: list(
    'PATH',
    'examine manifests instead of a cluster: files, folders, or - for standard input',
    {
      short: 'f',
    },
  ),
  'whole-cluster': toggle(
    'with -f: the manifests are all there is, so anything absent from them is missing',
  ),
  context: text('NAME', 'context of the kubeconfig', { otherwise: 'its current one' }),
  kubeconfig: text('FILE', 'kubeconfig of the cluster', {
    otherwise: "KUBECONFIG, ~/.kube/config, or the pod's service account",
  }),
  probe: toggle(
    'also ask every running sidecar whether it reaches its database and has its grants; runs quiesce status and metadata in its container (pods/exec)',
  ),
  'velero-namespace': text('NAME', 'with -n: the namespace of Velero', { fallback: 'velero' }),
  'fail-on': oneOf(SEVERITIES, 'the lowest severity that fails', { fallback: 'warning' }),
} as const;

type Options = Values<typeof FLAGS>;

export const run = verb({
  name: 'doctor',
  usage: ['[-n NAMESPACE]... [flags]', '-f FILE|DIR|-... [flags]'],
  about: `
Examines a cluster, or manifests, and lists every workload with volumes that is unprotected or
half-configured, every problem around it (Velero, snapshot classes, the webhook), and how to fix each.
It changes nothing. docs/doctor.md lists all findings.`,
  flags: FLAGS,
  formats: ['text', 'json'],
  notes: `
What the credentials may not read is reported as the finding NOT_LOOKED_AT. The doctor reads Secrets
only if sidecars or the webhook use them and the credentials allow it. It keeps the names of their keys
and the webhook's certificate, and no other value.`,
  exits: {
    0: 'everything was examined and no finding fails',
    7: 'findings at or above --fail-on',
    2: 'bad flags or manifests, no cluster, or something that could not be examined',
    1: 'unexpected',
  },
  work: async (options, surface) => {
    checkTogether(options);
    const { inventory, source, probed } = await read(options, surface.progress);
    const examined = examine(inventory, probed);
    const { filename: files, namespace: names } = options;
    if (files.length > 0 && names.length > 0 && examined.workloads.length === 0) {
      const message = `No workload in these files is in the namespace ${names.join(', ')}.`;
      throw new QuiesceError('MANIFEST_INVALID', message, { hint: 'Correct --namespace.' });
    }
    const diagnosis = diagnose(examined, { ...inventory, source });
    await surface.print(diagnosis, () => describeDiagnosis(diagnosis));
    return exitOf(diagnosis, options['fail-on']);
  },
});

function checkTogether(options: Options): void {
  const { filename: files, namespace: names, 'whole-cluster': whole } = options;
  if (options['all-namespaces'] && names.length > 0) {
    throw wrong('-A and --namespace exclude each other', '--all-namespaces');
  }
  if (whole && files.length === 0) throw wrong('--whole-cluster needs -f', '--whole-cluster');
  if (files.length === 0) return;
  if (options.probe) throw wrong('--probe runs commands in pods, so it needs a cluster', '--probe');
  if (options.context !== undefined || options.kubeconfig !== undefined) {
    throw wrong('-f examines manifests: --context and --kubeconfig are for a cluster', '-f');
  }
}

function wrong(message: string, field: string): QuiesceError {
  return usage('doctor', message, field);
}

interface Reading {
  readonly inventory: Inventory;
  readonly source: string;
  /** Findings from the answers of running sidecars. */
  readonly probed: readonly Finding[];
}

async function read(options: Options, progress: Surface['progress']): Promise<Reading> {
  const { filename: files, 'whole-cluster': whole, 'velero-namespace': veleroNamespace } = options;
  const namespaces = options.namespace.length > 0 ? options.namespace : undefined;
  const now = Date.now();
  if (files.length > 0) {
    const inventory = await readInventory(files, { whole, namespaces, now });
    const source = files.map((one) => (one === '-' ? 'stdin' : one)).join(', ');
    return { inventory, source, probed: [] };
  }
  const reader = connect(options);
  const inventory = await readCluster(reader, {
    namespaces,
    veleroNamespace,
    now,
    secretsOf: secretUses,
    progress: (sentence) => progress.say(sentence),
  });
  const { facts } = survey(inventory).around;
  if (!options.probe) return { inventory, source: reader.name, probed: restoredNotAsked(facts) };
  progress.say('asking the sidecars');
  const probed = await probe(facts, (place, command) => reader.run(place, command));
  return { inventory, source: reader.name, probed };
}

function connect({ context, kubeconfig }: Options): ClusterReader {
  try {
    return connectReader({ context, kubeconfig });
  } catch (error) {
    const reason = error instanceof Error ? (error.message.split('\n')[0] ?? '') : String(error);
    throw new QuiesceError('CLUSTER_UNREACHABLE', `There is no cluster to examine: ${reason}.`, {
      cause: error,
    });
  }
}
