/** Amazon's driver for block volumes. */
const EBS = 'ebs.csi.aws.com';

/** Snapshot parameters that drivers accept, by their own documentation and sources. They refuse every other key. */
const DRIVERS_KNOW: Readonly<Record<string, RegExp>> = {
  [EBS]:
    /^(?:fastSnapshotRestoreAvailabilityZones|outpostArn|lockMode|lockDuration|lockExpirationDate|lockCoolOffPeriod|tagSpecification_\d+)$/i,
  'pd.csi.storage.gke.io':
    /^(?:storage-locations|snapshot-type|image-family|labels|resource-tags)$/i,
  'disk.csi.azure.com':
    /^(?:tags|incremental|resourceGroup|subscriptionID|location|userAgent|dataAccessAuthMode|tagValueDelimiter|instantAccessDurationMinutes)$/i,
};

/** Parameters for the snapshotter, which removes them before it calls the driver. */
const SNAPSHOTTER_KNOWS = /^csi\.storage\.k8s\.io\//;

/** The parameters of a snapshot class that its driver is known to refuse. */
export function refusedParameters(driver: string, keys: readonly string[]): readonly string[] {
  const known = Object.hasOwn(DRIVERS_KNOW, driver) ? DRIVERS_KNOW[driver] : undefined;
  if (known === undefined) return [];
  return keys.filter((key) => !SNAPSHOTTER_KNOWS.test(key) && !known.test(key));
}

/** Whether the driver is known to have no group snapshots. */
export function lacksGroups(driver: string): boolean {
  return driver === EBS;
}

/**
 * Drivers whose snapshot is one operation of a block device, a thin pool or a copy-on-write file system,
 * by their own documentation. Rook and others put a namespace before the name of a Ceph driver.
 */
const CUT_AT_ONCE = [
  'ebs.csi.aws.com',
  'pd.csi.storage.gke.io',
  'disk.csi.azure.com',
  'csi.vsphere.vmware.com',
  'cinder.csi.openstack.org',
  'dobs.csi.digitalocean.com',
  'blockvolume.csi.oraclecloud.com',
  'diskplugin.csi.alibabacloud.com',
  'rbd.csi.ceph.com',
  'csi.trident.netapp.io',
  'driver.longhorn.io',
  'topolvm.io',
  'topolvm.cybozu.com',
  'local.csi.openebs.io',
  'zfs.csi.openebs.io',
  'io.openebs.csi-mayastor',
  'linstor.csi.linbit.com',
  'pxd.portworx.com',
  'pure-csi',
  'csi.hpe.com',
  'org.democratic-csi.iscsi',
  'org.democratic-csi.nvmeof',
  'org.democratic-csi.zfs-local-dataset',
  'org.democratic-csi.zfs-local-zvol',
];

/** Drivers whose snapshot reads live files one by one (cp, tar, rsync), by their own sources. */
const COPY_LIVE = [
  'hostpath.csi.k8s.io',
  'nfs.csi.k8s.io',
  'smb.csi.k8s.io',
  'rancher.io/local-path',
  'hostpath.csi.kubevirt.io',
  'ch.ctrox.csi.s3-driver',
  'ru.yandex.s3.csi',
  's3.csi.aws.com',
  'blob.csi.azure.com',
  'gcsfuse.csi.storage.gke.io',
  'org.democratic-csi.local-hostpath',
  'org.democratic-csi.nfs-client',
  'org.democratic-csi.smb-client',
  'org.democratic-csi.lustre-client',
];

/**
 * Whether a snapshot by this driver is one moment of the volume. `false`: it copies live files.
 * `unknown`: neither table has it.
 */
export function cutsAtOnce(driver: string): boolean | 'unknown' {
  const named = (known: string): boolean => driver === known || driver.endsWith(`.${known}`);
  if (COPY_LIVE.some(named)) return false;
  return CUT_AT_ONCE.some(named) ? true : 'unknown';
}

/** Provisioners and drivers that take no snapshots, by their own documentation. */
const NO_SNAPSHOTS = [
  'rancher.io/local-path',
  'kubernetes.io/no-provisioner',
  'kubernetes.io/host-path',
  'kubernetes.io/nfs',
  'k8s.io/minikube-hostpath',
  'docker.io/hostpath',
  'microk8s.io/hostpath',
  'openebs.io/local',
  'openebs.io/provisioner-iscsi',
  'kubevirt.io/hostpath-provisioner',
  'kubevirt.io.hostpath-provisioner',
  'k8s-sigs.io/nfs-subdir-external-provisioner',
  'fuseim.pri/ifs',
  'nfs.io/nfs',
  'efs.csi.aws.com',
  'fsx.csi.aws.com',
  'elasticfilesystem.csi.aws.com',
  's3.csi.aws.com',
  'blob.csi.azure.com',
  'gcsfuse.csi.storage.gke.io',
  'secrets-store.csi.k8s.io',
  'csi-s3',
];

/** Provisioners whose name the installer chooses: `cluster.local/nfs-client-provisioner`. */
const NO_SNAPSHOTS_NAMED =
  /(?:^|[/.-])(?:nfs-(?:subdir|client|server)|local-(?:path|volume|static)|hostpath-provisioner)/;

/** Storage classes that distributions name after such a provisioner. */
const CLASSES_WITHOUT: Readonly<Record<string, string>> = {
  'local-path': 'rancher.io/local-path',
  'microk8s-hostpath': 'microk8s.io/hostpath',
  'openebs-hostpath': 'openebs.io/local',
  'nfs-client': 'k8s-sigs.io/nfs-subdir-external-provisioner',
};

/** Whether the driver is known to take no snapshots. */
export function takesNoSnapshots(driver: string): boolean {
  return NO_SNAPSHOTS.includes(driver) || NO_SNAPSHOTS_NAMED.test(driver);
}

/** The provisioner of a storage class that is not at hand, if its name is one that everybody uses. */
export function provisionerOfClass(name: string): string | undefined {
  return Object.hasOwn(CLASSES_WITHOUT, name) ? CLASSES_WITHOUT[name] : undefined;
}

/** Kubernetes' old provisioners, whose volumes CSI drivers of other names serve. */
const MIGRATED: Readonly<Record<string, string>> = {
  'kubernetes.io/aws-ebs': 'ebs.csi.aws.com',
  'kubernetes.io/gce-pd': 'pd.csi.storage.gke.io',
  'kubernetes.io/azure-disk': 'disk.csi.azure.com',
  'kubernetes.io/azure-file': 'file.csi.azure.com',
  'kubernetes.io/cinder': 'cinder.csi.openstack.org',
  'kubernetes.io/vsphere-volume': 'csi.vsphere.vmware.com',
  'kubernetes.io/portworx-volume': 'pxd.portworx.com',
};

/** The driver that serves, and snapshots, the volumes of a provisioner. */
export function servingDriver(provisioner: string): string {
  return MIGRATED[provisioner] ?? provisioner;
}
