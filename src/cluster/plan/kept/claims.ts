import type { Catalog } from '../../inventory/catalog.ts';
import { at, type KubeObject, textAt } from '../../objects/kube-object.ts';
import { servingDriver } from '../../inventory/drivers.ts';
import { EXCLUDE, isExcluded } from '../left-out.ts';
import type { MemberClaim } from '../planned.ts';

/** Why a backup does not hold a claim. */
export interface ClaimLoss {
  readonly why: string;
  /** Velero's file-system backup can copy it. */
  readonly files: boolean;
  /** It lies in the claim's class or volume, which are judged by themselves where all objects are there. */
  readonly ofClass?: true;
}

/** Provisioners without snapshots: local folders, and drivers that do not implement them. */
const NO_SNAPSHOTS =
  /^(?:kubernetes\.io\/(?:no-provisioner|host-path)|rancher\.io\/local-path|microk8s\.io\/hostpath|docker\.io\/hostpath|k8s\.io\/minikube-hostpath|openebs\.io\/local|.*nfs-(?:subdir-)?(?:client-)?(?:external-)?provisioner.*|fuseim\.pri\/.*|efs\.csi\.aws\.com|s3\.csi\.aws\.com|smb\.csi\.k8s\.io|csi\.juicefs\.com|csi\.hetzner\.cloud|blob\.csi\.azure\.com)$/;
/** Classes that distributions have under these names, where the manifests do not define them. */
const CLASSES_WITHOUT: Readonly<Record<string, string>> = {
  'local-path': 'rancher.io/local-path',
  hostpath: 'docker.io/hostpath',
  'microk8s-hostpath': 'microk8s.io/hostpath',
  'local-storage': 'kubernetes.io/no-provisioner',
  'openebs-hostpath': 'openebs.io/local',
  'nfs-client': 'nfs-subdir-external-provisioner',
};
const SNAPSHOT_CLASS = 'VolumeSnapshotClass.snapshot.storage.k8s.io';
const STORAGE_CLASS = 'StorageClass.storage.k8s.io';

/** Why a backup does not hold this claim; `undefined`: it does, as far as the objects tell. */
export function claimLoss(
  claim: MemberClaim,
  namespace: string,
  catalog: Catalog,
): ClaimLoss | undefined {
  const { object } = claim;
  if (isExcluded(object)) return { why: `the claim has the label ${EXCLUDE}`, files: false };
  const volume = volumeOf(claim, namespace, catalog);
  if (isExcluded(volume)) return { why: `its volume has the label ${EXCLUDE}`, files: false };
  const loss = volume === undefined ? lossOfClass(object, catalog) : lossOfVolume(volume, catalog);
  return loss && { ...loss, ofClass: true };
}

/** The PersistentVolume of a claim: bound by either side, or the only kind that its class has. */
function volumeOf(
  { name, object }: MemberClaim,
  namespace: string,
  catalog: Catalog,
): KubeObject | undefined {
  const all = catalog.all('PersistentVolume');
  const bound = textAt(object, 'spec', 'volumeName');
  const named = bound === undefined ? undefined : catalog.getGlobal('PersistentVolume', bound);
  const found =
    named ??
    all.find(
      (one) =>
        textAt(one, 'spec', 'claimRef', 'name') === name &&
        textAt(one, 'spec', 'claimRef', 'namespace') === namespace,
    );
  if (found !== undefined) return found;
  const className = at(object, 'spec', 'storageClassName');
  if (typeof className !== 'string' || classNamed(className, catalog) !== undefined)
    return undefined;
  return all.find((one) => (textAt(one, 'spec', 'storageClassName') ?? '') === className);
}

function lossOfVolume(volume: KubeObject, catalog: Catalog): ClaimLoss | undefined {
  const spec = volume['spec'];
  if (at(spec, 'hostPath') !== undefined) {
    return { why: 'its volume is a hostPath, a folder of a node', files: false };
  }
  for (const [source, what] of [
    ['local', 'a local disk of a node'],
    ['nfs', 'on an NFS server'],
    ['iscsi', 'an iSCSI target'],
    ['fc', 'a Fibre Channel target'],
    ['cephfs', 'a CephFS folder'],
    ['glusterfs', 'a GlusterFS volume'],
  ] as const) {
    if (at(spec, source) !== undefined) {
      return { why: `its volume is ${what}, of which no snapshot can be made`, files: true };
    }
  }
  const driver = textAt(spec, 'csi', 'driver');
  return driver === undefined ? undefined : lossOfDriver(driver, `the driver ${driver}`, catalog);
}

function lossOfClass(object: KubeObject | undefined, catalog: Catalog): ClaimLoss | undefined {
  const wanted = at(object, 'spec', 'storageClassName');
  // An empty name asks for a volume that somebody has made, not for the default class.
  if (object === undefined || wanted === '') return undefined;
  const found = typeof wanted === 'string' ? classNamed(wanted, catalog) : defaultClass(catalog);
  const name = found?.metadata?.name ?? (typeof wanted === 'string' ? wanted : '');
  const provisioner = textAt(found, 'provisioner') ?? CLASSES_WITHOUT[name];
  if (provisioner === undefined) return undefined;
  return lossOfDriver(provisioner, `the storage class ${name} (${provisioner})`, catalog);
}

function classNamed(name: string, catalog: Catalog): KubeObject | undefined {
  return catalog.getGlobal(STORAGE_CLASS, name);
}

function defaultClass(catalog: Catalog): KubeObject | undefined {
  return catalog
    .all(STORAGE_CLASS)
    .find(
      ({ metadata }) =>
        metadata?.annotations?.['storageclass.kubernetes.io/is-default-class'] === 'true',
    );
}

function lossOfDriver(given: string, name: string, catalog: Catalog): ClaimLoss | undefined {
  if (NO_SNAPSHOTS.test(given)) {
    return { why: `no snapshot can be made of ${name}`, files: !/host-?path/.test(given) };
  }
  const driver = servingDriver(given);
  const classes = catalog.all(SNAPSHOT_CLASS);
  // Without any class in manifests, they may be elsewhere.
  const complete =
    classes.length > 0 ||
    (catalog.scope === 'cluster' && catalog.sees('volumesnapshotclasses.snapshot.storage.k8s.io'));
  if (!complete || classes.some((one) => textAt(one, 'driver') === driver)) return undefined;
  return { why: `no VolumeSnapshotClass is for ${name}`, files: true };
}
