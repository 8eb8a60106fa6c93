import type { PodConnection } from '../cluster/api/reader.ts';
import { planOf } from '../cluster/plan/plan.ts';
import type { Selection } from '../cluster/plan/selection.ts';
import { ObjectApi } from '../cluster/api/objects.ts';
import { ClusterVolumes } from '../cluster/snapshot/cluster-volumes.ts';
import type { Retained, SnapshotRun } from '../cluster/snapshot/document.ts';
import { exitOf } from '../cluster/snapshot/exit.ts';
import { refuseAmbiguous } from '../cluster/snapshot/ambiguous.ts';
import { prune, type PrunedRun } from '../cluster/snapshot/prune.ts';
import { describePruned, describeRetained } from '../cluster/snapshot/report/list.ts';
import { runPage } from '../cluster/snapshot/report/html.ts';
import { describeRun } from '../cluster/snapshot/report/text.ts';
import type { RunParts } from '../cluster/snapshot/run-parts.ts';
import { runSnapshot } from '../cluster/snapshot/run.ts';
import { sceneOf } from '../cluster/snapshot/scene.ts';
import { refuseHidden, refuseUnread } from '../cluster/snapshot/unread.ts';
import { FREEZE_TIMEOUT_MS } from '../defaults.ts';
import { toQuiesceError } from '../errors.ts';
import { BadValue, duration, list, toggle, value, type Values } from '../lib/command-line/flags.ts';
import { wantsColor } from '../lib/command-line/paint.ts';
import { quote } from '../lib/command-line/printable.ts';
import { usage } from '../lib/command-line/read-flags.ts';
import { unlessAborted } from '../lib/deadline.ts';
import { writeDuration } from '../lib/duration.ts';
import {
  APPLICATION_EXITS,
  APPLICATION_FLAGS,
  checkSelection,
  connectTo,
  readForPlan,
  selectionOf,
} from './application-flags.ts';
import { fail } from './fail.ts';
import { type Surface, verb } from './verb.ts';

const SHORTEST_MS = 1_000;
/** Sidecars are released, and the failure is recorded, within half a minute: then a kubelet kills a pod. */
const STOP_WITHIN_MS = 28_000;

const NAMESPACE = /^[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?$/;

const FLAGS = {
  ...APPLICATION_FLAGS,
  timeout: duration('how long the whole run may take', { fallback: '15m' }, SHORTEST_MS),
  'freeze-timeout': duration(
    'until when all members must be frozen; else all are thawed and the run fails',
    { fallback: writeDuration(FREEZE_TIMEOUT_MS) },
    SHORTEST_MS,
  ),
  ttl: duration(
    'lease of each freeze: it must last until all volumes are cut',
    { otherwise: "each sidecar's own" },
    SHORTEST_MS,
  ),
  'snapshot-class': list(
    'DRIVER=CLASS',
    'the class for the volumes of a driver: a VolumeSnapshotClass, or one for groups',
    {},
    (given) => {
      if (/^[^=]+=[a-z0-9][-.a-z0-9]*$/.test(given)) return given;
      throw new BadValue(`must be DRIVER=CLASS, not ${quote(given)}`);
    },
  ),
  'no-group-snapshot': toggle('cut each volume for itself, even where one group snapshot could'),
  'lease-namespace': value(
    'NAME',
    'namespace of the Lease that keeps two runs of the application apart',
    { otherwise: 'the first of the application' },
    (given) => {
      if (NAMESPACE.test(given)) return given;
      throw new BadValue(`cannot be ${quote(given)}`);
    },
  ),
  keep: value('N', 'afterwards delete all but the newest N runs', {}, (given) => {
    if (/^[1-9]\d{0,5}$/.test(given)) return Number(given);
    throw new BadValue(`must be a whole number from 1, not ${quote(given)}`);
  }),
  'keep-for': duration('afterwards delete runs that are older, such as 168h', {}, SHORTEST_MS),
} as const;

type Options = Values<typeof FLAGS>;

export const run = verb({
  name: 'snapshot',
  usage: ['[-n NAMESPACE]... [flags]'],
  about: `
Freezes all members of an application at once, cuts all their volumes as VolumeSnapshots, thaws them, and
records what it got: proven, unproven or failed. Whatever happens, it thaws what it froze, and nothing
that somebody else froze. If it is killed, the lease of each sidecar ends its freeze, and the next run
marks what was left.`,
  flags: FLAGS,
  formats: ['text', 'json', 'html'],
  notes: `
Without -n it takes the namespace of the context; quiesce plan shows what it will freeze. With --keep or
--keep-for it never deletes the last proven run.`,
  exits: {
    0: 'proven',
    7: 'done, but not proven; the problems say why',
    2: 'bad flags, or an application that cannot be snapshotted as it is',
    3: 'the Kubernetes API, a sidecar or its database cannot be reached or is not ready, or refuses',
    4: 'another run is under way, or somebody else has frozen a member',
    5: 'failed',
    6: 'too late; everything was thawed',
    1: 'unexpected',
  },
  exitCodes: APPLICATION_EXITS,
  stopWithinMs: STOP_WITHIN_MS,
  work: async (options, surface) => {
    try {
      checkSelection('snapshot', options);
      checkClasses(options['snapshot-class']);
      const connection = connectTo(options);
      const selection = selectionOf(options, connection.namespace);
      const done = await runSnapshot(
        partsOf(connection, selection, options, surface),
        {
          timeoutMs: options.timeout,
          freezeTimeoutMs: options['freeze-timeout'],
          ttlMs: options.ttl,
          leaseNamespace: options['lease-namespace'],
          progress: (sentence) => surface.progress.say(sentence),
        },
        surface.signal,
      );
      await show(done, surface);
      await retain(connection, selection, done, options, surface);
      return exitOf(done);
    } catch (error) {
      return fail(toQuiesceError(error), surface);
    }
  },
});

function partsOf(
  connection: PodConnection,
  selection: Selection,
  options: Options,
  { progress }: Surface,
): RunParts {
  return {
    look: async (signal) => {
      const reading = readForPlan(connection, selection, {
        timeoutMs: options.timeout,
        progress: (sentence) => progress.say(sentence),
      });
      const inventory = await unlessAborted(reading, signal);
      refuseUnread(inventory, selection.namespaces);
      const planned = planOf(inventory, selection);
      refuseHidden(planned.catalog, planned.plan, selection.namespaces);
      refuseAmbiguous(inventory, selection, planned.plan);
      return sceneOf(planned);
    },
    volumesOf: ({ plan }) =>
      new ClusterVolumes(connection, {
        namespaces: plan.namespaces,
        classes: classesOf(options['snapshot-class']),
        groupSnapshots: !options['no-group-snapshot'],
        leaseNamespace: options['lease-namespace'],
      }),
    api: new ObjectApi(connection),
    pods: connection,
  };
}

/** One of two classes for a driver would be ignored. @throws QuiesceError USAGE */
function checkClasses(pairs: readonly string[]): void {
  const drivers = [...new Set(pairs)].map((pair) => pair.slice(0, pair.indexOf('=')));
  const twice = drivers.find((one, at) => drivers.indexOf(one) !== at);
  if (twice === undefined) return;
  const message = `--snapshot-class names two classes for ${quote(twice)}`;
  throw usage('snapshot', message, '--snapshot-class');
}

function classesOf(pairs: readonly string[]): ReadonlyMap<string, string> {
  return new Map(
    pairs.map((pair) => {
      const at = pair.indexOf('=');
      return [pair.slice(0, at), pair.slice(at + 1)];
    }),
  );
}

async function show(done: SnapshotRun, surface: Surface): Promise<void> {
  await surface.print(done, () => {
    if (surface.format === 'html') return runPage(done);
    const { columns } = process.stdout;
    return describeRun(done, {
      color: wantsColor(process.stdout),
      ...(columns && { width: columns }),
    });
  });
}

/** A run that cannot delete old ones is no worse for it: it says so. */
async function retain(
  connection: PodConnection,
  { namespaces }: Selection,
  { group }: SnapshotRun,
  { keep, 'keep-for': keepForMs }: Options,
  surface: Surface,
): Promise<void> {
  if (keep === undefined && keepForMs === undefined) return;
  surface.progress.say('deleting old runs');
  const onDeleted = (run: PrunedRun, retained: Retained): void => {
    const lines = [`Deleted ${describePruned(run)}`, ...describeRetained(retained)];
    surface.say(lines.join('\n'));
  };
  const rules = { keep, keepForMs, dryRun: false, now: Date.now(), onDeleted };
  try {
    await prune(connection, { namespaces, group }, rules);
  } catch (error) {
    const { code, message } = toQuiesceError(error);
    surface.say(`quiesce: ${code}: ${message} Old runs were not all deleted.`);
  }
}
