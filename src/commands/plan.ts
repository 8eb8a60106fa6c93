import { readFile } from 'node:fs/promises';
import { text as readAll } from 'node:stream/consumers';
import { readBackup } from '../cluster/backup/read-backup.ts';
import type { Inventory } from '../cluster/inventory/catalog.ts';
import type { KubeObject } from '../cluster/objects/kube-object.ts';
import { readInventory, unreadable } from '../cluster/inventory/read-manifests.ts';
import { describePlan } from '../cluster/plan/describe.ts';
import type { Plan, PlanProblem } from '../cluster/plan/document.ts';
import { inventoryOfBackup } from '../cluster/plan/from-backup.ts';
import { planOf } from '../cluster/plan/plan.ts';
import type { Selection } from '../cluster/plan/selection.ts';
import { veleroObject } from '../cluster/plan/velero.ts';
import type { PodConnection } from '../cluster/api/reader.ts';
import {
  BadValue,
  list,
  oneOf,
  text,
  toggle,
  value,
  type Values,
} from '../lib/command-line/flags.ts';
import { oneLine, quote } from '../lib/command-line/printable.ts';
import { usage } from '../lib/command-line/read-flags.ts';
import { abortedWithin } from '../lib/deadline.ts';
import {
  APPLICATION_EXITS,
  APPLICATION_FLAGS,
  checkSelection,
  connectTo,
  READ_TIMEOUT,
  readForPlan,
  selectionOf,
} from './application-flags.ts';
import { type Surface, verb } from './verb.ts';

const SEVERITIES = ['error', 'warning', 'info'] as const;

const FLAGS = {
  ...APPLICATION_FLAGS,
  filename: list(
    'PATH',
    'plan manifests instead of a cluster: files, folders, or - for standard input',
    { short: 'f' },
  ),
  'whole-cluster': toggle(
    'with -f: the manifests are all there is, so a name or a class absent from them is missing',
  ),
  'from-backup': value(
    'NAME',
    'plan what a backup of Velero holds; without -n, in all of its namespaces',
    {},
    (name) => {
      if (/^[a-z0-9]([-.a-z0-9]{0,251}[a-z0-9])?$/.test(name)) return name;
      throw new BadValue(`cannot be ${quote(name)}`);
    },
  ),
  'velero-namespace': text('NAME', 'with --from-backup: the namespace of Velero', {
    fallback: 'velero',
  }),
  velero: text(
    'FILE',
    'print the Backup or Schedule in this file so that Velero freezes all members together',
    {},
  ),
  'fail-on': oneOf(SEVERITIES, 'the lowest severity of problems that exits with 7', {
    otherwise: 'none does',
  }),
  timeout: READ_TIMEOUT,
} as const;

type Options = Values<typeof FLAGS>;

export const run = verb({
  name: 'plan',
  usage: [
    '[-n NAMESPACE]... [flags]',
    '-f FILE|DIR|-... [flags]',
    '--from-backup NAME [-n NAMESPACE]... [flags]',
    '[-n NAMESPACE]... --velero FILE|-',
  ],
  about: `
Shows an application as it is snapshotted and restored: its members in layers, what comes after what and
why, their pods and volumes, what freezes them, what a restore does not bring back, and what is in the
way. It changes nothing.

Members are StatefulSets, Deployments, DaemonSets, ReplicaSets, Pods without an owner, and custom
resources of known operators. The order comes from quiesce.dev/depends-on and quiesce.dev/order, and
where they say nothing from the kind of each image. docs/plan.md explains it with examples.`,
  flags: FLAGS,
  formats: ['text', 'json'],
  notes: `
--velero prints the manifest with orderedResources, ready to apply, and says on stderr what to know.

--from-backup asks Velero for the contents of a backup and reads them from its storage: from here or, if
its address is that of a Service that is not known here, through the API server.

With -f, all that the files hold is one application; -n keeps only what is in these namespaces, and an
object without a namespace counts as in the first of them.`,
  exits: {
    0: 'the plan was printed, with problems, too',
    7: 'problems at or above --fail-on',
    2: 'bad flags or manifests, no members, a cycle, a name that nobody has, or no such backup',
    3: 'the Kubernetes API, or the storage of the backup, cannot be reached, or refuses',
    5: 'the backup is damaged',
    1: 'unexpected',
  },
  exitCodes: APPLICATION_EXITS,
  work: async (options, surface) => {
    checkTogether(options);
    const { inventory, selection, source, known } = await read(options, surface);
    const { plan, members } = planOf(inventory, selection, known);
    if (options.velero === undefined) {
      await surface.print(plan, () => describePlan(plan, source));
    } else {
      const made = veleroObject(await readManifest(options.velero), members);
      await surface.print(made.object, made.text);
      for (const note of [...made.notes, ...errorsOf(plan)]) {
        surface.say(`quiesce: ${oneLine(note)}`);
      }
    }
    return exitOf(plan, options['fail-on']);
  },
});

function checkTogether(options: Options): void {
  checkSelection('plan', options);
  const { filename: files, 'whole-cluster': whole, 'from-backup': backup } = options;
  if (backup !== undefined && files.length > 0) {
    throw usage('plan', '-f and --from-backup exclude each other', '--from-backup');
  }
  if (whole && files.length === 0) {
    throw usage('plan', '--whole-cluster needs -f', '--whole-cluster');
  }
  if (options.velero === '-' && files.includes('-')) {
    throw usage('plan', '-f - and --velero - cannot both read standard input', '--velero');
  }
  if (files.length > 0 && (options.context !== undefined || options.kubeconfig !== undefined)) {
    const message = '-f plans manifests: --context and --kubeconfig are for a cluster';
    throw usage('plan', message, '-f');
  }
}

interface Reading {
  readonly inventory: Inventory;
  readonly selection: Selection;
  readonly source: string;
  /** Problems of what was read. */
  readonly known?: readonly PlanProblem[];
}

async function read(options: Options, surface: Surface): Promise<Reading> {
  const { progress } = surface;
  const { filename: files, 'whole-cluster': whole } = options;
  if (files.length > 0) {
    const selection = selectionOf(options, undefined);
    const given = await readInventory(files, { whole, namespaces: undefined, now: Date.now() });
    const objects = given.objects.map((one) => placed(one, options.namespace[0]));
    const source = files.map((one) => (one === '-' ? 'stdin' : one)).join(', ');
    // Only --whole-cluster makes the manifests everything there is.
    return { inventory: { ...given, objects }, selection, source };
  }
  const backup = options['from-backup'];
  // Not broken off: what it asked of Velero is taken back, also after the time.
  if (backup !== undefined) return await readFrom(connectTo(options), backup, options, surface);
  const connection = connectTo(options, abortedWithin(options.timeout + 100));
  const selection = selectionOf(options, connection.namespace);
  const inventory = await readForPlan(connection, selection, {
    timeoutMs: options.timeout,
    progress: (sentence) => progress.say(sentence),
  });
  return { inventory, selection, source: connection.name };
}

async function readFrom(
  connection: PodConnection,
  name: string,
  options: Options,
  { progress, signal }: Surface,
): Promise<Reading> {
  const choice = {
    name,
    namespace: options['velero-namespace'],
    timeoutMs: options.timeout,
    progress: (sentence: string) => progress.say(sentence),
  };
  const { backup, objects } = await readBackup(connection, choice, signal);
  const { inventory, problems } = inventoryOfBackup(backup, objects, Date.now());
  const source = `backup ${name}`;
  return { inventory, source, known: problems, selection: selectionOf(options, undefined) };
}

async function readManifest(path: string): Promise<string> {
  try {
    return path === '-' ? await readAll(process.stdin) : await readFile(path, 'utf8');
  } catch (error) {
    throw unreadable(path, error, '--velero');
  }
}

function errorsOf({ problems }: Plan): readonly string[] {
  const errors = problems.filter(({ severity }) => severity === 'error');
  return errors.map(({ code, object, message }) => `${code} ${object}: ${message}`);
}

/** As `kubectl apply -n` does: an object that names no namespace goes to the one given. */
function placed(object: KubeObject, namespace: string | undefined): KubeObject {
  const { metadata } = object;
  if (namespace === undefined || metadata?.namespace !== undefined) return object;
  return { ...object, metadata: { ...metadata, namespace } };
}

/** 7: problems at or above the severity; else 0. */
function exitOf({ problems }: Plan, failOn: (typeof SEVERITIES)[number] | undefined): number {
  if (failOn === undefined) return 0;
  const most = SEVERITIES.indexOf(failOn);
  return problems.some(({ severity }) => SEVERITIES.indexOf(severity) <= most) ? 7 : 0;
}
