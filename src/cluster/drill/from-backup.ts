import type { ObjectApi } from '../api/objects.ts';
import type { BackupContents } from '../backup/read-backup.ts';
import { type KubeObject, textAt } from '../objects/kube-object.ts';
import type { Planned } from '../plan/plan.ts';
import type { RestoreProblem } from '../restore/document.ts';
import { NAMESPACES } from '../restore/namespaces.ts';
import { volumesOfBackup } from '../restore/volumes/of-backup.ts';
import { addressesOf } from './addresses.ts';
import type { DrillSource } from './source.ts';

/**
 * A backup of Velero, described by its own objects: the pods, ConfigMaps and Secrets of that time.
 *
 * @param planned what the backup holds
 * @param live the pods that run now, which the copies must not reach
 */
export function fromBackup(
  api: ObjectApi,
  { backup, objects }: BackupContents,
  { plan, members }: Planned,
  live: Planned['catalog'] | undefined,
): DrillSource {
  const found = volumesOfBackup(backup, objects);
  const name = backup.metadata?.name ?? '';
  const takenAt =
    textAt(backup, 'status', 'startTimestamp') ?? textAt(backup.metadata, 'creationTimestamp');
  const isIn = (one: { readonly namespace: string }): boolean =>
    plan.namespaces.includes(one.namespace);
  const find = (kind: string, namespace: string | undefined, wanted: string) =>
    objects.find(
      ({ kind: one, metadata }) =>
        one === kind && metadata?.name === wanted && metadata.namespace === namespace,
    );
  return {
    about: { kind: 'backup', name, ...(takenAt !== undefined && { takenAt }) },
    plan,
    members,
    volumes: found.volumes.filter(isIn),
    without: found.without.filter((one) => plan.namespaces.includes(one.split('/')[0] ?? '')),
    claims: objects.filter(({ kind }) => kind === 'PersistentVolumeClaim'),
    objects,
    problems: partly(backup),
    config: (ref, namespace) => Promise.resolve(find(ref.kind, namespace, ref.name)),
    namespace: async (wanted) =>
      find('Namespace', undefined, wanted) ?? (await api.get(NAMESPACES, undefined, wanted)),
    addresses: live === undefined ? [] : addressesOf(live, plan.namespaces),
  };
}

function partly(backup: KubeObject): readonly RestoreProblem[] {
  if (textAt(backup, 'status', 'phase') !== 'PartiallyFailed') return [];
  const name = backup.metadata?.name ?? '';
  return [
    {
      code: 'SOURCE_UNPROVEN',
      message: `The backup ${name} is PartiallyFailed: it may lack objects or volumes.`,
      hint: `velero backup describe ${name} --details says which.`,
    },
  ];
}
