import { type KubeObject, labelsOf, textAt } from '../objects/kube-object.ts';
import { CONFIG_MAPS, each, type ObjectApi } from '../api/objects.ts';
import { RUN_LABELS } from '../run/names.ts';

/**
 * Deletes the oldest reports of an application beyond the newest `most`, but for the last proven one. Their
 * runs can still be read from their snapshots.
 */
export async function trimReports(
  api: ObjectApi,
  namespace: string,
  group: string,
  most: number,
): Promise<void> {
  const labels = `${RUN_LABELS.report}=snapshot,${RUN_LABELS.group}=${group}`;
  const reports = [...((await api.list(CONFIG_MAPS, namespace, labels)) ?? [])];
  const old = superfluous(reports, most);
  await each(old, async ({ metadata }) => {
    const options = {
      apiVersion: 'v1',
      kind: 'DeleteOptions',
      preconditions: { uid: metadata?.uid },
    };
    await api.send('DELETE', CONFIG_MAPS, { namespace, name: metadata?.name ?? '' }, options);
  });
}

export function superfluous(reports: readonly KubeObject[], most: number): readonly KubeObject[] {
  const timeOf = ({ metadata }: KubeObject): string => textAt(metadata, 'creationTimestamp') ?? '';
  const newest = reports.toSorted((a, b) => timeOf(b).localeCompare(timeOf(a)));
  const verdictOf = (one: KubeObject): string | undefined => labelsOf(one)[RUN_LABELS.verdict];
  const proven = newest.find((one) => verdictOf(one) === 'proven');
  return newest.slice(most).filter((one) => one !== proven && verdictOf(one) !== 'pending');
}
