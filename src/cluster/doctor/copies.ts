import type { PodFacts } from '../inventory/pod-facts.ts';
import type { Catalog } from '../inventory/catalog.ts';
import { at, type KubeObject, refOf, refText } from '../objects/kube-object.ts';
import { claimsOf } from '../inventory/claims.ts';
import type { ClusterFacts } from '../inventory/survey.ts';
import { fileBackupOf, schedulesFor } from '../inventory/velero.ts';
import { actionFor, resourcePolicyOf, type VolumeAction } from '../inventory/volume-policies.ts';

type Around = Pick<ClusterFacts, 'catalog' | 'velero'>;

/** What the volume policy of a Schedule does with a volume; `none`: it has no policy, or none that matches. */
export function policyAction(
  catalog: Catalog,
  schedule: KubeObject,
  facts: PodFacts,
  volume: string,
): VolumeAction {
  const policy = resourcePolicyOf(catalog, schedule);
  if (policy === undefined) return 'none';
  if (policy.object === undefined) return 'unknown';
  const claims = claimsOf(facts, catalog).filter((one) => one.volume === volume);
  const actions = new Set(claims.map(({ object }) => actionFor(catalog, policy, object)));
  const [only] = actions;
  return actions.size === 1 && only !== undefined ? only : 'unknown';
}

/** The setting that makes Velero copy the volume file by file. A volume policy outweighs all others. */
export function copiedAsFiles(around: Around, facts: PodFacts, volume: string): string | undefined {
  const covering = schedulesFor(around.velero, facts);
  const actions = covering.map((schedule) => ({
    schedule,
    action: policyAction(around.catalog, schedule, facts, volume),
  }));
  const files = actions.find(({ action }) => action === 'fs-backup');
  if (files !== undefined) return `${refText(refOf(files.schedule))} (volume policy fs-backup)`;
  const decided =
    actions.length > 0 && actions.every(({ action }) => /^(?:snapshot|skip)$/.test(action));
  return decided ? undefined : fileBackupOf(around.velero, facts, volume);
}

/** The Schedules that cover the pod and take snapshots of the volume, as far as that can be told. */
export function snapshottedBy(
  around: Around,
  facts: PodFacts,
  volume: string,
): readonly KubeObject[] {
  return schedulesFor(around.velero, facts).filter(
    (schedule) =>
      at(schedule, 'spec', 'template', 'snapshotVolumes') !== false &&
      !/^(?:skip|fs-backup|unknown)$/.test(policyAction(around.catalog, schedule, facts, volume)),
  );
}
