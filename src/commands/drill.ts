import type { PodConnection } from '../cluster/api/reader.ts';
import { ObjectApi } from '../cluster/api/objects.ts';
import { DRILL_CHECKS } from '../cluster/drill/parts.ts';
import { drillRecords } from '../cluster/drill/record.ts';
import { ClusterHealth } from '../cluster/health/health.ts';
import { runDrill } from '../cluster/drill/run.ts';
import { sweep, type Swept } from '../cluster/drill/sweep.ts';
import { DRILL_MODES, type DrillRun } from '../cluster/restore/document.ts';
import { recoveryPage } from '../cluster/restore/report/html.ts';
import { storedRecovery } from '../cluster/restore/report/stored.ts';
import { describeRecovery } from '../cluster/restore/report/text.ts';
import { RUN_LABELS } from '../cluster/run/names.ts';
import { exitOf } from '../cluster/snapshot/exit.ts';
import { DRILL_SPARE_MS, DRILL_TIMEOUT_MS } from '../defaults.ts';
import { QuiesceError, toQuiesceError } from '../errors.ts';
import { reportFailure } from '../lib/command-line/failure.ts';
import {
  BadValue,
  duration,
  list,
  oneOf,
  text,
  toggle,
  value,
  type Values,
} from '../lib/command-line/flags.ts';
import { wantsColor } from '../lib/command-line/paint.ts';
import { printable, quote } from '../lib/command-line/printable.ts';
import { usage } from '../lib/command-line/read-flags.ts';
import { writeDuration } from '../lib/duration.ts';
import {
  APPLICATION_EXITS,
  APPLICATION_FLAGS,
  checkSelection,
  connectTo,
  selectionOf,
} from './application-flags.ts';
import { sourceOf } from './drill-source.ts';
import { type Surface, verb } from './verb.ts';

const SHORTEST_MS = 1_000;
/** What it made is removed within half a minute: then a kubelet kills a pod. */
const STOP_WITHIN_MS = 28_000;
const NAMESPACE = /^[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?$/;

function namespaceName(given: string): string {
  if (NAMESPACE.test(given)) return given;
  throw new BadValue(`cannot be ${quote(given)}`);
}

const FLAGS = {
  ...APPLICATION_FLAGS,
  'from-snapshot': text('RUN', 'the run of quiesce snapshot to prove', {
    otherwise: 'the newest proven run or completed backup',
  }),
  'from-backup': text('NAME', 'the backup of Velero to prove', {}),
  mode: oneOf(DRILL_MODES, 'what is started: each database alone, or the whole application', {
    fallback: 'data',
  }),
  check: oneOf(DRILL_CHECKS, 'how far the data is checked', { fallback: 'position' }),
  scratch: value(
    'NAME',
    'the scratch namespace, for an application of one namespace',
    { otherwise: 'drill-NAMESPACE-RUN' },
    namespaceName,
  ),
  'keep-scratch': toggle('leave what was made until it expires, to look at it'),
  'without-isolation': toggle(
    'start the databases even where nothing proves that they reach nobody',
  ),
  image: text('IMAGE', 'image of the sidecar in the copies', {
    otherwise: 'that of the application',
  }),
  'storage-class': list('OLD=NEW', 'the StorageClass for volumes of another one', {}, (given) => {
    if (/^[-.a-z0-9]+=[-.a-z0-9]+$/.test(given)) return given;
    throw new BadValue(`must be OLD=NEW, not ${quote(given)}`);
  }),
  expires: duration(
    'after this time anybody may remove what the drill has made',
    { otherwise: `--timeout and ${writeDuration(DRILL_SPARE_MS)} more` },
    SHORTEST_MS,
  ),
  timeout: duration(
    'how long the whole drill may take',
    { fallback: writeDuration(DRILL_TIMEOUT_MS) },
    SHORTEST_MS,
  ),
  'report-namespace': value(
    'NAME',
    'namespace of the record and of the Lease',
    { otherwise: 'the first of the application' },
    namespaceName,
  ),
  'velero-namespace': value('NAME', "Velero's namespace", { fallback: 'velero' }, namespaceName),
  show: text('RUN', 'print the record of a drill, and drill nothing', {}),
  sweep: toggle('only remove what drills have left whose time is over'),
} as const;

type Options = Values<typeof FLAGS>;

export const run = verb({
  name: 'drill',
  usage: [
    '[-n NAMESPACE]... [--from-snapshot RUN | --from-backup NAME] [flags]',
    '--show RUN [-n NAMESPACE]... [-o html]',
    '--sweep',
  ],
  about: `
Restores a snapshot or a backup into a scratch namespace, lets the sidecars judge the data against the
receipts in it, measures how long that took and how old the data is, records the result, and removes
everything again. Nothing of the application is changed or reached.

With --mode data it starts each database alone: its image on copies of its volumes, with the sidecar and
nothing else, cut off from the network. docs/drill.md says what that proves and what it does not.`,
  flags: FLAGS,
  formats: ['text', 'json', 'html'],
  notes: `
Without -n it takes the namespace of the context. Every drill first removes what dead ones have left; two
drills of one application exclude each other. --show finds a record by -n or -A.`,
  exits: {
    0: 'proven, or swept, or shown',
    7: 'done, but not proven; the problems say why',
    2: 'bad flags, or no such snapshot or backup',
    3: 'the Kubernetes API cannot be reached, or refuses',
    4: 'another drill of the application is under way',
    5: 'failed: data that contradicts its receipt, a database that did not start, no isolation',
    6: 'too late; what was made is removed',
    1: 'unexpected',
  },
  exitCodes: APPLICATION_EXITS,
  stopWithinMs: STOP_WITHIN_MS,
  work: async (options, surface) => {
    checkTogether(options);
    const connection = connectTo(options);
    if (options.show !== undefined) return await show(connection, options.show, options, surface);
    if (options.sweep) return await sweepOnly(connection, surface);
    try {
      const done = await drill(connection, options, surface);
      await print(done, surface);
      return exitOf({ verdict: done.verdict ?? 'failed', problems: done.problems });
    } catch (error) {
      return fail(toQuiesceError(error), surface);
    }
  },
});

function checkTogether(options: Options): void {
  checkSelection('drill', options);
  const bad = (text_: string, flag: string): never => {
    throw usage('drill', text_, flag);
  };
  if (options['from-snapshot'] !== undefined && options['from-backup'] !== undefined) {
    bad('--from-snapshot and --from-backup exclude each other', '--from-backup');
  }
  if (options.show !== undefined && options.sweep)
    bad('--show and --sweep exclude each other', '--show');
  if (options.expires !== undefined && options.expires <= options.timeout) {
    bad('--expires must be longer than --timeout', '--expires');
  }
  if (options.mode === 'application' && options['without-isolation']) {
    bad('--without-isolation is for --mode data only', '--without-isolation');
  }
}

async function drill(
  connection: PodConnection,
  options: Options,
  surface: Surface,
): Promise<DrillRun> {
  const { progress, signal } = surface;
  const api = new ObjectApi(connection);
  const source = await sourceOf(
    connection,
    {
      selection: selectionOf(options, connection.namespace),
      named: options.namespace.length > 0 || options['all-namespaces'],
      snapshot: options['from-snapshot'],
      backup: options['from-backup'],
      velero: options['velero-namespace'],
      whole: options.mode === 'application',
      timeoutMs: options.timeout,
      progress: (sentence) => progress.say(sentence),
    },
    signal,
  );
  const [home = 'default'] = source.plan.namespaces;
  if (options.scratch !== undefined && source.plan.namespaces.length > 1) {
    const text_ = `--scratch names one namespace, and the application has ${source.plan.namespaces.length}`;
    throw usage('drill', text_, '--scratch');
  }
  return await runDrill(
    { api, pods: connection, source, health: new ClusterHealth(connection) },
    {
      home: options['report-namespace'] ?? home,
      mode: options.mode,
      check: options.check,
      timeoutMs: options.timeout,
      expiresMs: options.expires ?? options.timeout + DRILL_SPARE_MS,
      image: options.image,
      scratch: options.scratch,
      storageClasses: pairsOf(options['storage-class']),
      withoutIsolation: options['without-isolation'],
      keepScratch: options['keep-scratch'],
      progress: (sentence) => progress.say(sentence),
      say: (sentence) => surface.say(`quiesce: ${sentence}`),
    },
    signal,
  );
}

function pairsOf(pairs: readonly string[]): ReadonlyMap<string, string> {
  return new Map(
    pairs.map((pair) => {
      const at = pair.indexOf('=');
      return [pair.slice(0, at), pair.slice(at + 1)];
    }),
  );
}

async function show(
  connection: PodConnection,
  id: string,
  options: Options,
  surface: Surface,
): Promise<number> {
  const { namespaces } = selectionOf(options, connection.namespace);
  const known = /^[A-Za-z0-9]([-._A-Za-z0-9]{0,61}[A-Za-z0-9])?$/.test(id);
  const [found] = known
    ? await drillRecords(new ObjectApi(connection), namespaces, { [RUN_LABELS.run]: id })
    : [];
  if (found === undefined) {
    const where = namespaces?.join(', ') ?? 'any namespace';
    const text_ = `There is no drill ${printable(id)} in ${where}.`;
    const hint =
      'kubectl get configmaps -A -l quiesce.dev/report=drill lists them; -n or -A says where to look.';
    throw new QuiesceError('RUN_NOT_FOUND', text_, { hint });
  }
  const stored = storedRecovery(found);
  if (typeof stored === 'string' || stored.kind !== 'DrillRun') {
    const why = typeof stored === 'string' ? stored : 'is not one of a drill';
    throw new QuiesceError('RUN_NOT_FOUND', `The record of ${printable(id)} ${why}.`);
  }
  await print(stored, surface);
  return 0;
}

async function sweepOnly(connection: PodConnection, surface: Surface): Promise<number> {
  const { progress, signal } = surface;
  const api = new ObjectApi(connection);
  const swept = await sweep(api, [], (sentence) => progress.say(sentence), signal);
  await surface.print(
    { apiVersion: 'quiesce.dev/v1', kind: 'DrillSweep', ...swept },
    sweptText(swept),
  );
  return swept.left.length > 0 ? 5 : 0;
}

function sweptText({ removed, left }: Swept): string {
  if (removed.length === 0 && left.length === 0)
    return 'No drill whose time is over has left anything.';
  return [
    ...removed.map((id) => `Removed what the drill ${id} had left.`),
    ...left.map(({ id, objects }) => `The drill ${id} has left: ${objects.join(', ')}.`),
  ].join('\n');
}

async function print(done: DrillRun, surface: Surface): Promise<void> {
  await surface.print(done, () => {
    if (surface.format === 'html') return recoveryPage(done);
    const { columns } = process.stdout;
    return describeRecovery(done, {
      color: wantsColor(process.stdout),
      ...(columns && { width: columns }),
    });
  });
}

/** A manifest in a hint follows it as it is, so that it can be applied. */
function fail(error: QuiesceError, surface: Surface): number {
  surface.progress.end();
  const { manifest } = error.details;
  const asText = surface.format !== 'json' && typeof manifest === 'string';
  const told = asText
    ? new QuiesceError(error.code, error.message, { hint: error.hint.split('\n')[0] ?? '' })
    : error;
  const exit = reportFailure(told, surface.format);
  if (asText) surface.say(manifest.trimEnd());
  return error.code === 'CLUSTER_UNREACHABLE' ? APPLICATION_EXITS.CLUSTER_UNREACHABLE : exit;
}
