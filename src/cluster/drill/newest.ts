import { QuiesceError } from '../../errors.ts';
import type { Kind, ObjectApi } from '../api/objects.ts';
import { type KubeObject, textAt, textsAt } from '../objects/kube-object.ts';
import { readRuns } from '../snapshot/runs.ts';

export type SourceChoice =
  | { readonly kind: 'snapshot'; readonly name: string }
  | { readonly kind: 'backup'; readonly name: string };

const BACKUPS: Kind = { group: 'velero.io', version: 'v1', plural: 'backups' };

/**
 * The newest of what can be restored: a proven run of the application, or a backup of Velero that is Completed
 * and holds its namespaces.
 *
 * @throws QuiesceError DRILL_NO_SOURCE
 */
export async function newestSource(
  api: ObjectApi,
  { namespaces, group }: { readonly namespaces: readonly string[]; readonly group: string },
  velero: string,
): Promise<SourceChoice> {
  const runs = await readRuns(api, { namespaces, group });
  const run = runs.find(({ verdict }) => verdict === 'proven');
  const backup = newestBackup(await backupsIn(api, velero), namespaces);
  const ran = Date.parse(run?.createdAt ?? '') || 0;
  const begun = backup === undefined ? 0 : startOf(backup);
  if (run !== undefined && ran >= begun) return { kind: 'snapshot', name: run.id };
  if (backup !== undefined) return { kind: 'backup', name: backup.metadata?.name ?? '' };
  const text = `${group} has no proven run of quiesce snapshot, and Velero no Completed backup of ${namespaces.join(', ')}.`;
  throw new QuiesceError('DRILL_NO_SOURCE', text);
}

/** Without the right to see Velero's backups, the runs of the application are all there is. */
async function backupsIn(api: ObjectApi, velero: string): Promise<readonly KubeObject[]> {
  try {
    return (await api.list(BACKUPS, velero)) ?? [];
  } catch (error) {
    if (error instanceof QuiesceError && error.code === 'FORBIDDEN') return [];
    throw error;
  }
}

/** Pure. */
export function newestBackup(
  backups: readonly KubeObject[],
  namespaces: readonly string[],
): KubeObject | undefined {
  const whole = backups.filter(
    (one) =>
      textAt(one, 'status', 'phase') === 'Completed' &&
      one.metadata?.deletionTimestamp === undefined &&
      namespaces.every((namespace) => holds(one, namespace)),
  );
  return whole.toSorted((a, b) => startOf(b) - startOf(a))[0];
}

function holds(backup: KubeObject, namespace: string): boolean {
  const [included, excluded] = [
    textsAt(backup, 'spec', 'includedNamespaces'),
    textsAt(backup, 'spec', 'excludedNamespaces'),
  ];
  const all = included.length === 0 || included.includes('*');
  return (all || included.includes(namespace)) && !excluded.includes(namespace);
}

function startOf(backup: KubeObject): number {
  return Date.parse(textAt(backup, 'status', 'startTimestamp') ?? '') || 0;
}
