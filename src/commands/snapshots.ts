import type { ClusterConnection } from '../cluster/api/reader.ts';
import { nameOf } from '../cluster/plan/selection.ts';
import { requireNamespaces } from '../cluster/inventory/read-cluster.ts';
import { ObjectApi } from '../cluster/api/objects.ts';
import { prune } from '../cluster/snapshot/prune.ts';
import {
  describeList,
  describePruned,
  describePruning,
  describeRetained,
  listOf,
} from '../cluster/snapshot/report/list.ts';
import { runPage } from '../cluster/snapshot/report/html.ts';
import { describeRun } from '../cluster/snapshot/report/text.ts';
import { readRuns, type RunQuery } from '../cluster/snapshot/runs.ts';
import { QuiesceError } from '../errors.ts';
import { BadValue, duration, toggle, type Values, value } from '../lib/command-line/flags.ts';
import { wantsColor } from '../lib/command-line/paint.ts';
import { printable, quote } from '../lib/command-line/printable.ts';
import { usage } from '../lib/command-line/read-flags.ts';
import { abortedWithin } from '../lib/deadline.ts';
import { formatDuration } from '../lib/duration.ts';
import {
  APPLICATION_EXITS,
  APPLICATION_FLAGS,
  checkSelection,
  connectTo,
  READ_TIMEOUT,
  selectionOf,
} from './application-flags.ts';
import { type Surface, verb } from './verb.ts';

const SHORTEST_KEEP_MS = 1_000;

const FLAGS = {
  ...APPLICATION_FLAGS,
  group: { ...APPLICATION_FLAGS.group, about: 'only runs of this group' },
  selector: {
    ...APPLICATION_FLAGS.selector,
    about: 'only runs that were made with this selector, and these namespaces',
  },
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
  timeout: READ_TIMEOUT,
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
  formats: ['text', 'json', 'html'],
  notes: `
A run goes when none of the given rules keeps it. The last proven run of a group, its newest run,
and a run that is not done always stay. Snapshots whose class says deletionPolicy: Retain leave
their contents and the storage behind; these are listed.`,
  exits: {
    0: 'done; the verdict of a run that is shown is in the output',
    2: 'bad flags, or no such run',
    3: 'the Kubernetes API cannot be reached, or refuses a request',
    5: 'something could not be deleted',
    1: 'unexpected',
  },
  exitCodes: APPLICATION_EXITS,
  work: async (options, surface) => {
    checkTogether(options, surface);
    const connection = lasting(options);
    const query = queryOf(options, connection.namespace);
    const api = new ObjectApi(connection);
    await requireNamespaces((path) => api.read(path), query.namespaces ?? []);
    const [id] = surface.operands;
    const work = options.prune
      ? pruneRuns(connection, query, options, surface)
      : id === undefined
        ? printList(connection, query, surface)
        : printRun(connection, { ...query, id }, surface);
    await work;
    return 0;
  },
});

/** The runs of the application that the same flags choose for `quiesce snapshot`. */
function queryOf(options: Options, namespace: string): RunQuery {
  const selection = selectionOf(options, namespace);
  const { namespaces, selector, group } = selection;
  const chosen = selector === undefined ? group : nameOf(selection, namespaces ?? []);
  return { namespaces, group: chosen };
}

/** A connection that answers nothing any more once the time is over: nothing goes on behind the error. */
function lasting(options: Options): ClusterConnection {
  const ms = options.timeout;
  const connection = connectTo(options, abortedWithin(ms));
  // The signal may come a little early.
  const end = performance.now() + ms - 50;
  const inTime = async <T>(ask: () => Promise<T>): Promise<T> => {
    try {
      return await ask();
    } catch (error) {
      if (performance.now() < end) throw error;
      throw new Error(`--timeout ${formatDuration(ms)} is over`, { cause: error });
    }
  };
  return {
    ...connection,
    get: (path) => inTime(() => connection.get(path)),
    send: (method, path, body) => inTime(() => connection.send(method, path, body)),
  };
}

function checkTogether(options: Options, { operands, format }: Surface): void {
  const { prune: prunes, keep, 'keep-for': keepFor, 'dry-run': dry } = options;
  checkSelection('snapshots', options);
  const { selector, group, 'all-namespaces': all } = options;
  if (all && selector !== undefined && group === undefined) {
    const message = '--selector needs -n: the name of a run over all namespaces depends on them';
    throw usage('snapshots', message, '--selector');
  }
  if (format === 'html' && operands.length === 0) {
    throw usage('snapshots', '-o html shows one RUN', '--output');
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

async function pruneRuns(
  connection: ClusterConnection,
  query: RunQuery,
  options: Options,
  surface: Surface,
): Promise<void> {
  surface.progress.say('deleting runs');
  const done: string[] = [];
  const pruning = await prune(connection, query, {
    keep: options.keep,
    keepForMs: options['keep-for'],
    dryRun: options['dry-run'],
    now: Date.now(),
    onDeleted: (run, retained) =>
      done.push(`Deleted ${describePruned(run)}`, ...describeRetained(retained)),
  }).catch((error: unknown) => {
    for (const line of done) surface.say(line);
    throw error;
  });
  await surface.print(pruning, () => describePruning(pruning));
}

async function printList(
  connection: ClusterConnection,
  query: RunQuery,
  surface: Surface,
): Promise<void> {
  surface.progress.say('reading runs');
  const runs = listOf(await readRuns(new ObjectApi(connection), query), Date.now());
  await surface.print(runs, () => describeList(runs));
}

async function printRun(
  connection: ClusterConnection,
  query: RunQuery & { readonly id: string },
  surface: Surface,
): Promise<void> {
  const known = /^[A-Za-z0-9]([-._A-Za-z0-9]{0,61}[A-Za-z0-9])?$/.test(query.id);
  const found = known ? await readRuns(new ObjectApi(connection), query) : [];
  const [one] = found;
  if (one === undefined) {
    const where = query.namespaces?.join(', ') ?? 'any namespace';
    throw new QuiesceError('RUN_NOT_FOUND', `There is no run ${printable(query.id)} in ${where}.`);
  }
  const { columns } = process.stdout;
  const screen = { color: wantsColor(process.stdout), ...(columns && { width: columns }) };
  await surface.print(one.document, () =>
    surface.format === 'html' ? runPage(one.document) : describeRun(one.document, screen),
  );
}
