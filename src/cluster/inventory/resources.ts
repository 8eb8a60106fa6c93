/** A kind of which all objects are read from a cluster. */
export interface Resource {
  /** `''` is the core group. */
  readonly group: string;
  /** `preferred`: the version that the cluster prefers. */
  readonly version: string;
  readonly kind: string;
  readonly plural: string;
  readonly namespaced: boolean;
  /** If only some namespaces are read: reads Velero's namespace as well (`too`), or instead (`only`). */
  readonly ofVelero?: 'too' | 'only';
  /** Parameters that narrow the list. */
  readonly filter?: Readonly<Record<string, string>>;
  /** What the doctor needs it for. */
  readonly why: string;
  /** The result is complete without it. */
  readonly optional?: true;
}

const apps = { group: 'apps', version: 'v1', namespaced: true } as const;
const velero = {
  group: 'velero.io',
  version: 'v1',
  namespaced: true,
  ofVelero: 'only',
} as const;

/** In addition, Services and EndpointSlices of webhooks are read, and single Secrets. */
export const RESOURCES: readonly Resource[] = [
  {
    group: '',
    version: 'v1',
    kind: 'Pod',
    plural: 'pods',
    why: 'pods that operators own, and the sidecars that actually run, with their versions and states',
    namespaced: true,
  },
  {
    group: '',
    version: 'v1',
    kind: 'PersistentVolumeClaim',
    plural: 'persistentvolumeclaims',
    why: 'claims that Velero excludes, or snapshots as a group',
    namespaced: true,
  },
  {
    group: '',
    version: 'v1',
    kind: 'Namespace',
    plural: 'namespaces',
    why: 'whether the webhook is called in a namespace; whether a namespace you named exists',
    namespaced: false,
    optional: true,
  },
  { ...apps, kind: 'StatefulSet', plural: 'statefulsets', why: 'workloads to protect' },
  {
    ...apps,
    kind: 'Deployment',
    plural: 'deployments',
    why: 'databases in Deployments; the version and arguments of Velero’s server; the webhook’s Deployment',
    ofVelero: 'too',
  },
  { ...apps, kind: 'DaemonSet', plural: 'daemonsets', why: 'Velero’s node agent', ofVelero: 'too' },
  {
    group: '',
    version: 'v1',
    kind: 'ResourceQuota',
    plural: 'resourcequotas',
    why: 'quotas that would refuse a pod with the sidecar',
    namespaced: true,
    optional: true,
  },
  {
    group: '',
    version: 'v1',
    kind: 'LimitRange',
    plural: 'limitranges',
    why: 'limits that would refuse a pod with the sidecar',
    namespaced: true,
    optional: true,
  },
  {
    group: '',
    version: 'v1',
    kind: 'Event',
    plural: 'events',
    filter: { fieldSelector: 'reason=FailedCreate' },
    why: 'pods that were refused: only Events with the reason FailedCreate',
    namespaced: true,
    optional: true,
  },
  {
    group: '',
    version: 'v1',
    kind: 'PersistentVolume',
    plural: 'persistentvolumes',
    why: 'the driver of each volume, and whether it takes snapshots',
    namespaced: false,
    optional: true,
  },
  {
    group: 'storage.k8s.io',
    version: 'v1',
    kind: 'StorageClass',
    plural: 'storageclasses',
    why: 'the driver of each claim, and whether it takes snapshots',
    namespaced: false,
    optional: true,
  },
  {
    group: 'admissionregistration.k8s.io',
    version: 'v1',
    kind: 'MutatingWebhookConfiguration',
    plural: 'mutatingwebhookconfigurations',
    why: 'the CA, the selectors and the failure policy of the webhook',
    namespaced: false,
  },
  {
    group: 'snapshot.storage.k8s.io',
    version: 'v1',
    kind: 'VolumeSnapshotClass',
    plural: 'volumesnapshotclasses',
    why: 'parameters that the driver refuses; the label for Velero',
    namespaced: false,
  },
  {
    group: 'groupsnapshot.storage.k8s.io',
    version: 'preferred',
    kind: 'VolumeGroupSnapshotClass',
    plural: 'volumegroupsnapshotclasses',
    why: 'whether there is one for claims in a group',
    namespaced: false,
  },
  {
    ...velero,
    kind: 'Schedule',
    plural: 'schedules',
    why: 'whether protected workloads are backed up, with which hooks, and how their volumes are copied',
  },
  {
    ...velero,
    kind: 'VolumeSnapshotLocation',
    plural: 'volumesnapshotlocations',
    why: 'whether a plugin of Velero takes the snapshots instead of CSI',
    optional: true,
  },
  {
    ...velero,
    kind: 'BackupStorageLocation',
    plural: 'backupstoragelocations',
    why: 'whether Velero can store backups',
  },
];

/** As `kubectl api-resources` names it: `schedules.velero.io`. */
export function resourceName({ group, plural }: Resource): string {
  return group === '' ? plural : `${plural}.${group}`;
}
