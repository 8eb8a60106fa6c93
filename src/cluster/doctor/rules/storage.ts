import type { Catalog } from '../../inventory/catalog.ts';
import { at, type KubeObject, textAt } from '../../objects/kube-object.ts';
import { claimsOf } from '../../inventory/claims.ts';
import { cutsAtOnce, provisionerOfClass, takesNoSnapshots } from '../../inventory/drivers.ts';
import type { PodFacts } from '../../inventory/pod-facts.ts';
import { driverOf, volumeOfClaim } from '../../inventory/storage.ts';
import type { ClusterFacts } from '../../inventory/survey.ts';
import { copiedAsFiles, snapshottedBy } from '../copies.ts';
import type { PodRule } from '../rule.ts';

const CLASSES = 'VolumeSnapshotClass.snapshot.storage.k8s.io';
/** Drivers whose volumes plugins of Velero snapshot without CSI, where a VolumeSnapshotLocation exists. */
const BY_PLUGIN = [
  'ebs.csi.aws.com',
  'pd.csi.storage.gke.io',
  'disk.csi.azure.com',
  'csi.vsphere.vmware.com',
  'cinder.csi.openstack.org',
];

/** Whether something takes snapshots of the data: a Velero with a Schedule for it, or one without any yet. */
function bySnapshot(around: ClusterFacts, facts: PodFacts): boolean {
  const { data, sidecar } = facts;
  if (sidecar === undefined || data === undefined || around.catalog.scope === 'part') return false;
  if (copiedAsFiles(around, facts, data.volume) !== undefined) return false;
  const { schedules } = around.velero;
  return schedules.length === 0 || snapshottedBy(around, facts, data.volume).length > 0;
}

interface DataClaim {
  readonly name: string;
  readonly driver: string | undefined;
  /** Why no driver snapshots it, whatever classes there are. */
  readonly never: string | undefined;
}

function dataClaims(around: ClusterFacts, facts: PodFacts): readonly DataClaim[] {
  const { catalog } = around;
  return claimsOf(facts, catalog)
    .filter(({ volume }) => volume === facts.data?.volume)
    .map(({ name, object }) => {
      const found = driverOf(object, catalog);
      const className = textAt(object, 'spec', 'storageClassName') ?? '';
      const driver = found && 'driver' in found ? found.driver : provisionerOfClass(className);
      return { name, driver, never: whyNever(object, driver, catalog) };
    });
}

function whyNever(
  claim: KubeObject,
  driver: string | undefined,
  catalog: Catalog,
): string | undefined {
  const volume = volumeOfClaim(claim, catalog);
  const type = ['nfs', 'hostPath', 'local'].find((one) => at(volume, 'spec', one) !== undefined);
  if (type !== undefined)
    return `its volume ${volume?.metadata?.name} is of the type ${type}, which nothing snapshots`;
  return driver !== undefined && takesNoSnapshots(driver)
    ? `${driver} takes no snapshots`
    : undefined;
}

function hasClass(catalog: Catalog, driver: string): boolean {
  return catalog.all(CLASSES).some((one) => textAt(one, 'driver') === driver);
}

/** Whether an absent class is missing: in a cluster, or among manifests that have classes of other drivers. */
function isMissing(around: ClusterFacts, driver: string): boolean {
  const { catalog } = around;
  if (!catalog.sees('volumesnapshotclasses.snapshot.storage.k8s.io') || hasClass(catalog, driver))
    return false;
  const byPlugin =
    catalog.all('VolumeSnapshotLocation.velero.io').length > 0 && BY_PLUGIN.includes(driver);
  return !byPlugin && (catalog.scope === 'cluster' || catalog.all(CLASSES).length > 0);
}

export const storageRules: readonly PodRule[] = [
  {
    code: 'STORAGE_WITHOUT_SNAPSHOTS',
    severity: 'error',
    title: 'Backups take snapshots, but nothing can snapshot the data',
    why: 'The database is frozen, the backup completes, and it contains no data.',
    fix: 'Move the data to a storage class whose driver takes snapshots, or copy files: backup.velero.io/backup-volumes and quiesce.dev/copy: files (docs/velero.md).',
    *check(facts, around) {
      if (!bySnapshot(around, facts)) return;
      for (const { name, driver, never } of dataClaims(around, facts)) {
        if (never !== undefined) {
          yield `The data is in the claim ${name}: ${never}.`;
        } else if (driver !== undefined && isMissing(around, driver)) {
          const message = `The data is in the claim ${name}, and no VolumeSnapshotClass is for its driver, ${driver}.`;
          const fix = `Create a VolumeSnapshotClass for ${driver} with the label velero.io/csi-volumesnapshot-class: "true", or copy files (docs/velero.md).`;
          yield { message, fix };
        }
      }
    },
  },
  {
    code: 'SNAPSHOT_COPIES_FILES',
    severity: 'error',
    title: 'The snapshots of the driver copy live files one by one',
    why: 'Such a copy is no single moment of the volume. A freeze for an atomic snapshot does not make it true.',
    fix: 'Set quiesce.dev/copy to files, or move the data to block storage.',
    *check(facts, around) {
      if (!bySnapshot(around, facts) || facts.copy === 'files') return;
      for (const { name, driver, never } of dataClaims(around, facts)) {
        if (never !== undefined || driver === undefined || cutsAtOnce(driver) !== false) continue;
        if (hasClass(around.catalog, driver))
          yield `The data is in the claim ${name}, and ${driver} makes snapshots by copying its files.`;
      }
    },
  },
];
