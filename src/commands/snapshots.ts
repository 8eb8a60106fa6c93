import { type ClusterConnection, connect } from '../cluster/api/reader.ts';
import { SnapshotApi } from '../cluster/snapshot/api.ts';
import { prune } from '../cluster/snapshot/prune.ts';
import { describeList, describePruning, listOf } from '../cluster/snapshot/report/list.ts';
import { describeRun } from '../cluster/snapshot/report/text.ts';
import { readRuns, type RunQuery } from '../cluster/snapshot/runs.ts';
import { QuiesceError } from '../errors.ts';
import {
  BadValue,
  duration,
  list,
  text,
  toggle,
  type Values,
  value,
} from '../lib/command-line/flags.ts';
import { wantsColor } from '../lib/command-line/paint.ts';
import { printable, quote } from '../lib/command-line/printable.ts';
import { usage } from '../lib/command-line/read-flags.ts';
import { type Surface, verb } from './verb.ts';

const SHORTEST_KEEP_MS = 1_000;

const FLAGS = {
  namespace: list('NAME', 'only this namespace', { short: 'n' }, (name) => {
    if (/^[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?$/.test(name)) return name;
    throw new BadValue(`cannot be ${quote(name)}`);
  }),
  'all-namespaces': toggle('all namespaces', { short: 'A' }),
  group: value('NAME', 'only runs of this group', {}, (name) => {
    if (/^[A-Za-z0-9]([-._A-Za-z0-9]{0,61}[A-Za-z0-9])?$/.test(name)) return name;
    throw new BadValue(`cannot be ${quote(name)}`);
  }),
  prune: toggle('delete the runs that neither --keep nor --keep-for keeps'),
  keep: value('N', 'with --prune: keep so many runs of each group', {}, (given) => {
    if (/^[1-9]\d{0,5}$/.test(given)) return Number(given);
    throw new BadValue(`must be a whole number from 1, not ${quote(given)}`);
  }),
  'keep-for': duration(
    'with --prune: keep runs that are not older, such as 168h',
    {},
    SHORTEST_KEEP_MS,
  ),
  'dry-run': toggle('with --prune: only say what would be deleted'),
  context: text('NAME', 'context of the kubeconfig', { otherwise: 'its current one' }),
  kubeconfig: text('FILE', 'kubeconfig of the cluster', {
    otherwise: "KUBECONFIG, ~/.kube/config, or the pod's service account",
  }),
} as const;

type Options = Values<typeof FLAGS>;

export const run = verb({
  name: 'snapshots',
  usage: [
    '[-n NAMESPACE]... [flags]',
    'RUN [-n NAMESPACE]... [flags]',
    '--prune [--keep N] [--keep-for DURATION] [--dry-run] [flags]',
  ],
  about: `
Lists the runs of quiesce snapshot with verdict, age, size and members, or shows one of them in full.
With --prune it deletes runs, always whole, and failed ones first. Without -n it looks in the
namespace of the context.`,
  flags: FLAGS,
  operands: 1,
  formats: ['text', 'json'],
  notes: `
A run goes when none of the given rules keeps it. The last proven run of a group, its newest run,
and a run that is not done always stay. Snapshots whose class says deletionPolicy: Retain leave
their contents and the storage behind; these are listed.`,
  exits: {
    0: 'done; the verdict of a run that is shown is in the output',
    2: 'bad flags, no cluster, or no such run',
    3: 'the Kubernetes API refuses a request',
    5: 'something could not be deleted',
    1: 'unexpected',
  },
  work: async (options, surface) => {
    checkTogether(options, surface.operands);
    const connection = reach(options);
    const query: RunQuery = {
      namespaces: options['all-namespaces']
        ? undefined
        : options.namespace.length > 0
          ? [...new Set(options.namespace)]
          : [connection.namespace],
      group: options.group,
    };
    const [id] = surface.operands;
    if (options.prune) await pruneRuns(connection, query, options, surface);
    else if (id === undefined) await printList(connection, query, surface);
    else await printRun(connection, { ...query, id }, surface);
    return 0;
  },
});

function checkTogether(options: Options, operands: readonly string[]): void {
  const { prune: prunes, keep, 'keep-for': keepFor, 'dry-run': dry } = options;
  if (options['all-namespaces'] && options.namespace.length > 0) {
    throw usage('snapshots', '-A and --namespace exclude each other', '--all-namespaces');
  }
  if (prunes && operands.length > 0) {
    throw usage('snapshots', '--prune takes no RUN: it decides by the rules', '--prune');
  }
  if (prunes && keep === undefined && keepFor === undefined) {
    throw usage('snapshots', '--prune needs --keep or --keep-for', '--prune');
  }
  if (!prunes && (keep !== undefined || keepFor !== undefined || dry)) {
    throw usage('snapshots', '--keep, --keep-for and --dry-run need --prune', '--prune');
  }
}

function reach({ context, kubeconfig }: Options): ClusterConnection {
  try {
    return connect({ context, kubeconfig });
  } catch (error) {
    const reason = error instanceof Error ? (error.message.split('\n')[0] ?? '') : String(error);
    throw new QuiesceError('CLUSTER_UNREACHABLE', `There is no cluster to look at: ${reason}.`, {
      cause: error,
    });
  }
}

async function pruneRuns(
  connection: ClusterConnection,
  query: RunQuery,
  options: Options,
  surface: Surface,
): Promise<void> {
  surface.progress.say('deleting runs');
  const pruning = await prune(connection, query, {
    keep: options.keep,
    keepForMs: options['keep-for'],
    dryRun: options['dry-run'],
    now: Date.now(),
  });
  await surface.print(pruning, () => describePruning(pruning));
}

async function printList(
  connection: ClusterConnection,
  query: RunQuery,
  surface: Surface,
): Promise<void> {
  surface.progress.say('reading runs');
  const runs = listOf(await readRuns(new SnapshotApi(connection), query), Date.now());
  await surface.print(runs, () => describeList(runs));
}

async function printRun(
  connection: ClusterConnection,
  query: RunQuery & { readonly id: string },
  surface: Surface,
): Promise<void> {
  const known = /^[A-Za-z0-9]([-._A-Za-z0-9]{0,61}[A-Za-z0-9])?$/.test(query.id);
  const found = known ? await readRuns(new SnapshotApi(connection), query) : [];
  const [one] = found;
  if (one === undefined) {
    const where = query.namespaces?.join(', ') ?? 'any namespace';
    throw new QuiesceError('RUN_NOT_FOUND', `There is no run ${printable(query.id)} in ${where}.`);
  }
  const { columns } = process.stdout;
  const screen = { color: wantsColor(process.stdout), ...(columns && { width: columns }) };
  await surface.print(one.document, () => describeRun(one.document, screen));
}
