import { QuiesceError } from '../../errors.ts';
import { CONFIG_MAPS, type ObjectApi, reasonOf } from '../api/objects.ts';
import { type KubeObject, labelsOf, namespaceOf, textAt } from '../objects/kube-object.ts';
import { REPORT_KEY, RUN_LABELS } from '../run/names.ts';
import { objectName } from '../run/object-names.ts';
import type { RecoveryRun, RestoredMember, RestoreRun } from './document.ts';

const REPORTS = { RestoreRun: 'restore', DrillRun: 'drill' } as const;
/** An object of Kubernetes holds 1 MiB at most, with its labels. */
const MOST_BYTES = 900 * 1024;

/**
 * Writes how a run stands to its ConfigMap; while it is under way the verdict is `pending`.
 *
 * @param home the namespace of the ConfigMap
 * @throws QuiesceError RECORD_FAILED
 */
export async function recordRecovery(
  api: ObjectApi,
  home: string,
  run: RecoveryRun,
): Promise<void> {
  const { id, group } = run;
  const name = nameOf(run);
  const labels = {
    [RUN_LABELS.report]: REPORTS[run.kind],
    [RUN_LABELS.group]: group,
    [RUN_LABELS.run]: id,
    [RUN_LABELS.verdict]: run.verdict ?? 'pending',
    'app.kubernetes.io/managed-by': 'quiesce',
  };
  const body = {
    apiVersion: 'v1',
    kind: 'ConfigMap',
    metadata: { name, namespace: home, labels },
    data: { [REPORT_KEY]: reportText(run) },
  };
  const place = { namespace: home, name };
  let answer = await api.send('PATCH', CONFIG_MAPS, place, body);
  if (answer.status === 404)
    answer = await api.send('POST', CONFIG_MAPS, { namespace: home }, body);
  if (answer.status === 200 || answer.status === 201) return;
  const text = `The report could not be written to the ConfigMap ${name} in ${home}`;
  throw new QuiesceError('RECORD_FAILED', `${text}: ${reasonOf(answer)}.`);
}

function nameOf({ kind, id, group }: RecoveryRun): string {
  return objectName(`quiesce-${REPORTS[kind]}-${group}`, { id, group });
}

const STEPS: readonly { readonly what: string; apply(run: RecoveryRun): RecoveryRun }[] = [
  {
    what: 'the problems of members beyond the first',
    apply: (run) => eachMember(run, (one) => ({ ...one, problems: one.problems.slice(0, 1) })),
  },
  {
    what: 'what sidecars say',
    apply: (run) => eachMember(run, ({ message: _message, ...one }) => one),
  },
  {
    what: 'members beyond the first 1000',
    apply: (run) => ({ ...run, members: run.members.slice(0, 1_000), layers: [] }),
  },
];

/** The report as JSON that fits into a ConfigMap. What was left out is said in it. */
export function reportText(run: RecoveryRun): string {
  let short = run;
  const dropped: string[] = [];
  for (const step of STEPS) {
    const text = JSON.stringify(short);
    if (Buffer.byteLength(text) <= MOST_BYTES) return text;
    dropped.push(step.what);
    short = { ...step.apply(short), shortened: `Left out for size: ${dropped.join('; ')}.` };
  }
  return JSON.stringify(short);
}

function eachMember(
  run: RecoveryRun,
  change: (one: RestoredMember) => RestoredMember,
): RecoveryRun {
  return { ...run, members: run.members.map(change) };
}

export interface RecordedRestore {
  /** The namespace of the record. */
  readonly home: string;
  readonly run: RestoreRun;
}

/**
 * The record of a restore.
 *
 * @param namespaces where to look; `undefined`: everywhere
 */
export async function readRestore(
  api: ObjectApi,
  id: string,
  namespaces: readonly string[] | undefined,
): Promise<RecordedRestore | undefined> {
  const labels = `${RUN_LABELS.report}=restore,${RUN_LABELS.run}=${id}`;
  const [found] = await api.listIn(CONFIG_MAPS, namespaces, labels);
  if (found === undefined) return undefined;
  const run = parsed(found);
  return run && { home: namespaceOf(found), run };
}

function parsed(object: KubeObject): RestoreRun | undefined {
  try {
    const run = JSON.parse(textAt(object, 'data', REPORT_KEY) ?? '') as RestoreRun;
    return run.kind === 'RestoreRun' && run.id === labelsOf(object)[RUN_LABELS.run]
      ? run
      : undefined;
  } catch {
    return undefined;
  }
}
