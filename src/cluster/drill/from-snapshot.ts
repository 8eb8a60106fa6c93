import { CONFIG_MAPS, type ObjectApi } from '../api/objects.ts';
import type { KubeObject } from '../objects/kube-object.ts';
import type { Planned } from '../plan/plan.ts';
import type { RestoreProblem } from '../restore/document.ts';
import { NAMESPACES } from '../restore/namespaces.ts';
import { volumesOfRun } from '../restore/volumes/of-run.ts';
import { addressesOf } from './addresses.ts';
import { SECRETS } from './kinds.ts';
import type { DrillSource } from './source.ts';

/**
 * A run of `quiesce snapshot`, described by the application as it is there now.
 *
 * @throws QuiesceError RUN_NOT_FOUND, RUN_NOT_RESTORABLE, SNAPSHOT_UNUSABLE
 */
export async function fromSnapshot(
  api: ObjectApi,
  id: string,
  { plan, members, catalog }: Planned,
  objects?: readonly KubeObject[],
): Promise<DrillSource> {
  const found = await volumesOfRun(api, id, plan.namespaces);
  const { takenAt } = found;
  return {
    about: { kind: 'snapshot', name: id, ...(takenAt !== undefined && { takenAt }) },
    plan,
    members,
    volumes: found.volumes,
    without: [],
    claims: catalog.all('PersistentVolumeClaim'),
    ...(objects !== undefined && { objects }),
    receiptId: id,
    problems: found.verdict === 'proven' ? [] : [unprovenRun(id)],
    config: (ref, namespace) =>
      api.get(ref.kind === 'Secret' ? SECRETS : CONFIG_MAPS, namespace, ref.name),
    namespace: (name) => api.get(NAMESPACES, undefined, name),
    addresses: addressesOf(catalog, plan.namespaces),
  };
}

function unprovenRun(id: string): RestoreProblem {
  return {
    code: 'SOURCE_UNPROVEN',
    message: `The run ${id} is itself not proven.`,
    hint: `quiesce snapshots ${id} says why.`,
  };
}
