import type { PodConnection } from '../cluster/api/reader.ts';
import { ObjectApi, PODS } from '../cluster/api/objects.ts';
import { readBackup } from '../cluster/backup/read-backup.ts';
import { fromBackup } from '../cluster/drill/from-backup.ts';
import { fromSnapshot } from '../cluster/drill/from-snapshot.ts';
import { newestSource, type SourceChoice } from '../cluster/drill/newest.ts';
import type { DrillSource } from '../cluster/drill/source.ts';
import { Catalog } from '../cluster/inventory/catalog.ts';
import { inventoryOfBackup } from '../cluster/plan/from-backup.ts';
import { type Planned, planOf } from '../cluster/plan/plan.ts';
import type { Selection } from '../cluster/plan/selection.ts';
import { objectsFrom } from '../cluster/restore/from-snapshot/objects-from.ts';
import { QuiesceError } from '../errors.ts';
import { unlessAborted } from '../lib/deadline.ts';
import { readForPlan } from './application-flags.ts';

export interface SourceFlags {
  readonly selection: Selection;
  /** Flags name its namespaces. Without them a backup is taken whole. */
  readonly named: boolean;
  readonly snapshot: string | undefined;
  readonly backup: string | undefined;
  /** The namespace of Velero. */
  readonly velero: string;
  /** All objects are read, not only what databases need. */
  readonly whole: boolean;
  readonly timeoutMs: number;
  readonly progress: (sentence: string) => void;
}

/** What the flags of a drill name, or else the newest that can be restored. */
export async function sourceOf(
  connection: PodConnection,
  flags: SourceFlags,
  signal: AbortSignal,
): Promise<DrillSource> {
  const api = new ObjectApi(connection);
  const choice = await choiceOf(connection, api, flags, signal);
  if (choice.kind === 'snapshot') {
    const planned = await livePlan(connection, flags, signal);
    if (!flags.whole) return await fromSnapshot(api, choice.name, planned);
    const { namespaces } = planned.plan;
    const reading = { namespaces, timeoutMs: flags.timeoutMs, progress: flags.progress };
    const { objects } = await objectsFrom(connection, { kind: 'live' }, reading, signal);
    return await fromSnapshot(api, choice.name, planned, objects);
  }
  const { velero: namespace, timeoutMs, progress } = flags;
  const wanted = { name: choice.name, namespace, timeoutMs, secrets: true, progress };
  const contents = await readBackup(connection, wanted, signal);
  const { inventory, problems } = inventoryOfBackup(contents.backup, contents.objects, Date.now());
  const whole = flags.backup !== undefined && !flags.named;
  const selection = { ...flags.selection, ...(whole && { namespaces: undefined }) };
  const planned = planOf(inventory, selection, problems);
  const pods = await podsNow(api, planned.plan.namespaces);
  return fromBackup(api, contents, planned, pods);
}

async function choiceOf(
  connection: PodConnection,
  api: ObjectApi,
  flags: SourceFlags,
  signal: AbortSignal,
): Promise<SourceChoice> {
  if (flags.snapshot !== undefined) return { kind: 'snapshot', name: flags.snapshot };
  if (flags.backup !== undefined) return { kind: 'backup', name: flags.backup };
  const { plan } = await livePlan(connection, flags, signal);
  return await newestSource(api, plan, flags.velero);
}

async function livePlan(
  connection: PodConnection,
  { selection, timeoutMs, progress }: SourceFlags,
  signal: AbortSignal,
): Promise<Planned> {
  const reading = readForPlan(connection, selection, { timeoutMs, progress });
  return planOf(await unlessAborted(reading, signal), selection);
}

/** What runs now is what a copy must not reach. Without the right to see it, the API server alone is probed. */
async function podsNow(
  api: ObjectApi,
  namespaces: readonly string[],
): Promise<Catalog | undefined> {
  try {
    const pods = await api.listIn(PODS, namespaces);
    const objects = pods.map((one) => ({ ...one, apiVersion: 'v1', kind: 'Pod' }));
    return new Catalog({ objects, scope: 'part', unexamined: [], now: Date.now() });
  } catch (error) {
    if (error instanceof QuiesceError && error.code === 'FORBIDDEN') return undefined;
    throw error;
  }
}
