import type { PodConnection } from '../cluster/api/reader.ts';
import { ObjectApi } from '../cluster/api/objects.ts';
import { ClusterHealth } from '../cluster/health/health.ts';
import { describePlan } from '../cluster/plan/describe.ts';
import type { Plan, PlanProblem } from '../cluster/plan/document.ts';
import type { RestoreProblem, RestoreRun } from '../cluster/restore/document.ts';
import { settleBackup } from '../cluster/restore/from-backup/source.ts';
import { mapPlan } from '../cluster/restore/mapped.ts';
import { mappingOf } from '../cluster/restore/mapping.ts';
import { checkRights, checkTargets, rightsToRestore } from '../cluster/restore/preflight.ts';
import { readRestore } from '../cluster/restore/record.ts';
import { type Released, releaseRun } from '../cluster/restore/release.ts';
import { recoveryPage } from '../cluster/restore/report/html.ts';
import { describeRecovery } from '../cluster/restore/report/text.ts';
import { type RestoreOptions, type RestoreStart, runRestore } from '../cluster/restore/run.ts';
import type { Source } from '../cluster/restore/source.ts';
import { newRunId } from '../cluster/run/run-id.ts';
import { QuiesceError, toQuiesceError } from '../errors.ts';
import { wantsColor } from '../lib/command-line/paint.ts';
import { usage } from '../lib/command-line/read-flags.ts';
import { abortedWithin, pause } from '../lib/deadline.ts';
import { APPLICATION_EXITS, connectTo } from './application-flags.ts';
import { fail } from './fail.ts';
import { checkTogether, FLAGS, type RestoreFlags, wantedBy } from './restore-flags.ts';
import { deleteReplaced, settleRun } from './restore-snapshot.ts';
import { sourceOf, type SourceChoice } from './restore-source.ts';
import { type Surface, verb } from './verb.ts';

const SHORTEST_MS = 1_000;
const STOP_WITHIN_MS = 28_000;
export const run = verb({
  name: 'restore',
  usage: [
    '--from-backup NAME [--to NAME|OLD:NEW]... [flags]',
    '--from-snapshot RUN [-n NAMESPACE]... [--to NAME|OLD:NEW]... [flags]',
    '--from-snapshot RUN --replace [-n NAMESPACE]... [flags]',
    '--delete-replaced RUN [flags]',
    '--resume RUN [flags]',
    '--release RUN [flags]',
  ],
  about: `
Restores an application layer by layer, in the order that quiesce plan shows. Every pod of a layer waits
until the layer before is up, and the sidecars there have judged the restored data: databases first, then
what is built on them. It ends with what is back, how old the data is, how long it took, and what is not
proven.

The pods wait behind a scheduling gate, which the webhook of the chart puts on them. CronJobs stay suspended
until all is up. Nothing that exists is changed or deleted: the namespaces are absent, or have nothing of the
application. With --replace the application is there: its workloads are stopped, and its claims are made anew
from the snapshots. The volumes that they had stay until --delete-replaced.`,
  flags: FLAGS,
  formats: ['text', 'json', 'html'],
  notes: `
If it is stopped, by Ctrl-C, by a layer that does not come up, or by the end of its machine, everything stays as
it is, and --resume goes on. --release lets all pods start, whatever they depend on; it needs neither the
backup nor the plan. docs/restore.md is the page for the worst day.`,
  exits: {
    0: 'all is up, and all data is proven; or released; or the dry run found nothing in the way',
    7: 'all is up, but not all data is proven; the problems say why',
    2: 'bad flags, no such backup or run, or a target that is taken or not held back; nothing was changed',
    3: 'the Kubernetes API, or the storage of the backup, cannot be reached, or refuses',
    4: 'another run of the application is under way',
    5: 'failed; it says which member, why, and how to go on',
    6: 'too late; --resume goes on',
    1: 'unexpected',
  },
  exitCodes: APPLICATION_EXITS,
  stopWithinMs: STOP_WITHIN_MS,
  work: async (options, surface) => {
    try {
      checkTogether(options);
      const connection = connectTo(options);
      if (options['delete-replaced'] !== undefined) {
        return await deleteReplaced(connection, options['delete-replaced'], surface);
      }
      if (options.release !== undefined) {
        return await release(connection, options.release, options, surface);
      }
      return await restore(connection, options, surface);
    } catch (error) {
      return fail(toQuiesceError(error), surface);
    }
  },
});

interface Prepared {
  readonly source: Source;
  readonly start: RestoreStart;
}

async function restore(
  connection: PodConnection,
  options: RestoreFlags,
  surface: Surface,
): Promise<number> {
  const api = new ObjectApi(connection);
  const { source, start } = await prepared(connection, options, surface);
  const { plan } = source;
  const resumed = options.resume !== undefined;
  const target = { id: start.id, namespaces: start.namespaces };
  const targets = [...start.namespaces.values()];
  surface.progress.say('checking the target');
  await checkRights(api, rightsToRestore(targets));
  const mapped = mapPlan(plan, start.namespaces);
  const inPlace = source.about.snapshot?.inPlace === true;
  if (!resumed) await checkTargets(api, mapped, [options['velero-namespace']], inPlace);
  const problems = await source.preflight(target, surface.signal);
  if (options['dry-run']) {
    const found = { ...mapped, problems: [...mapped.problems, ...problems.map(asPlanProblem)] };
    await surface.print(found, () =>
      describePlan(found, `${source.about.kind} ${source.about.name}`),
    );
    return 0;
  }
  const say = speaker(surface);
  say(`the run ${start.id} restores ${summary(mapped)}`);
  for (const one of problems) say(`${one.code} ${one.object ?? ''}: ${one.message}`);
  const parts = { api, source, health: new ClusterHealth(connection) };
  const done = await runRestore(parts, start, runOptions(options, surface, say), surface.signal);
  await show(done, surface);
  return exitOf(done);
}

async function prepared(
  connection: PodConnection,
  options: RestoreFlags,
  surface: Surface,
): Promise<Prepared> {
  const { resume } = options;
  if (resume !== undefined) return await fromRecord(connection, resume, options, surface);
  const source = await sourceOf(connection, choiceOf(options), options, surface);
  const namespaces = mappingOf(source.plan.namespaces, wantedBy(options));
  if (typeof namespaces === 'string') throw usage('restore', namespaces, '--to');
  return { source, start: { id: newRunId(source.plan.group, new Date()), namespaces } };
}

function choiceOf(options: RestoreFlags): SourceChoice {
  const run = options['from-snapshot'];
  return run === undefined
    ? { kind: 'backup', name: options['from-backup'] ?? '' }
    : { kind: 'snapshot', name: run };
}

async function fromRecord(
  connection: PodConnection,
  id: string,
  options: RestoreFlags,
  surface: Surface,
): Promise<Prepared> {
  const api = new ObjectApi(connection);
  surface.progress.say('looking for the run');
  const found = await readRestore(api, id, placesOf(options));
  if (found === undefined) {
    const hint =
      'kubectl get configmaps -A -l quiesce.dev/report=restore lists all; --to says where to look.';
    throw new QuiesceError('RUN_NOT_FOUND', `There is no restore ${id}.`, { hint });
  }
  const { run: before } = found;
  if (before.verdict === 'proven' || before.verdict === 'unproven') {
    throw new QuiesceError('RUN_NOT_FOUND', `The restore ${id} has ended: ${before.verdict}.`, {
      hint: 'Nothing waits for it any more.',
    });
  }
  const namespaces = new Map(Object.entries(before.source.namespaces));
  const only = { ...options, namespace: [...namespaces.keys()] };
  const source = await sourceOf(connection, before.source, only, surface);
  return { source, start: { id, namespaces, before } };
}

/** Where the records of runs are looked for. */
function placesOf(options: RestoreFlags): readonly string[] | undefined {
  const wanted = wantedBy(options);
  return wanted.length === 0 ? undefined : wanted.map(({ to }) => to);
}

function runOptions(
  options: RestoreFlags,
  { progress }: Surface,
  say: (line: string) => void,
): RestoreOptions {
  return {
    rules: {
      layerTimeoutMs: options['layer-timeout'],
      requireProof: options['require-proof'],
    },
    timeoutMs: options.timeout,
    progress: (sentence) => progress.say(sentence),
    say,
  };
}

/** A machine that reads stderr gets the error there, and nothing else. */
function speaker(surface: Surface): (line: string) => void {
  if (surface.format === 'json') return () => undefined;
  return (line) => surface.say(`quiesce: ${line}`);
}

function summary({ layers, namespaces }: Plan): string {
  const all = layers.map(({ members }) => members.map(({ name }) => name).join(', '));
  return `into ${namespaces.join(', ')}, in ${layers.length} layers: ${all.join(' → ')}`;
}

function asPlanProblem({ code, message, hint, object }: RestoreProblem): PlanProblem {
  const fix = hint === undefined ? {} : { fix: hint };
  return { code, severity: 'warning', message, object: object ?? 'restore', ...fix };
}

async function show(done: RestoreRun, surface: Surface): Promise<void> {
  await surface.print(done, () => {
    if (surface.format === 'html') return recoveryPage(done);
    const { columns } = process.stdout;
    const color = wantsColor(process.stdout);
    return describeRecovery(done, { color, ...(columns && { width: columns }) });
  });
}

const EXITS = { proven: 0, unproven: 7, failed: 5 } as const;

function exitOf({ verdict }: RestoreRun): number {
  return EXITS[verdict ?? 'failed'];
}

async function release(
  connection: PodConnection,
  id: string,
  options: RestoreFlags,
  surface: Surface,
): Promise<number> {
  const api = new ObjectApi(connection);
  const { signal, progress } = surface;
  const limit = abortedWithin(options.timeout, signal);
  const done = await releaseRun(
    api,
    id,
    {
      namespaces: placesOf(options),
      settle: async () => {
        const wait = async (): Promise<void> => {
          progress.say('waiting for Velero to end its Restore');
          await pause(SHORTEST_MS, limit);
        };
        const settle = () => settleBackup(api, id, options['velero-namespace'], wait);
        return await settleRun(api, id, placesOf(options), settle);
      },
      progress: (sentence) => progress.say(sentence),
    },
    limit,
  );
  await surface.print(done, () => describeRelease(done));
  return done.problems.some(({ code }) => code === 'CRON_JOB_SUSPENDED') ? 5 : 0;
}

function describeRelease({ run: id, namespaces, pods, problems }: Released): string {
  const count = pods === 1 ? '1 pod that waited starts' : `${pods} pods that waited start`;
  return [
    `The restore ${id} into ${namespaces.join(', ')} has ended: ${count} now.`,
    ...problems.map(({ code, object, message }) => `${code} ${object ?? ''}: ${message}`),
    `quiesce validate ${namespaces.map((one) => `-n ${one}`).join(' ')} says how the application stands.`,
  ].join('\n');
}
