/** A kind that is read whole from a cluster. */
export interface Resource {
  /** `''` is the core group. */
  readonly group: string;
  /** `preferred`: as the cluster says. */
  readonly version: string;
  readonly kind: string;
  readonly plural: string;
  readonly namespaced: boolean;
  /** Velero's namespace is looked at as well, or alone, whatever others are asked for. */
  readonly ofVelero?: 'too' | 'only';
  /** No verdict of "nothing found" needs it. */
  readonly optional?: true;
}

const apps = { group: 'apps', version: 'v1', namespaced: true } as const;
const velero = {
  group: 'velero.io',
  version: 'v1',
  namespaced: true,
  ofVelero: 'only',
} as const;

/** Beside these: Services and EndpointSlices of webhooks, and Secrets, one by one. */
export const RESOURCES: readonly Resource[] = [
  { group: '', version: 'v1', kind: 'Pod', plural: 'pods', namespaced: true },
  {
    group: '',
    version: 'v1',
    kind: 'PersistentVolumeClaim',
    plural: 'persistentvolumeclaims',
    namespaced: true,
  },
  {
    group: '',
    version: 'v1',
    kind: 'Namespace',
    plural: 'namespaces',
    namespaced: false,
    optional: true,
  },
  { ...apps, kind: 'StatefulSet', plural: 'statefulsets' },
  { ...apps, kind: 'Deployment', plural: 'deployments', ofVelero: 'too' },
  { ...apps, kind: 'DaemonSet', plural: 'daemonsets', ofVelero: 'too' },
  {
    group: 'admissionregistration.k8s.io',
    version: 'v1',
    kind: 'MutatingWebhookConfiguration',
    plural: 'mutatingwebhookconfigurations',
    namespaced: false,
  },
  {
    group: 'snapshot.storage.k8s.io',
    version: 'v1',
    kind: 'VolumeSnapshotClass',
    plural: 'volumesnapshotclasses',
    namespaced: false,
  },
  {
    group: 'groupsnapshot.storage.k8s.io',
    version: 'preferred',
    kind: 'VolumeGroupSnapshotClass',
    plural: 'volumegroupsnapshotclasses',
    namespaced: false,
  },
  { ...velero, kind: 'Schedule', plural: 'schedules' },
  { ...velero, kind: 'BackupStorageLocation', plural: 'backupstoragelocations' },
];

/** As `kubectl api-resources` names it: `schedules.velero.io`. */
export function resourceName({ group, plural }: Resource): string {
  return group === '' ? plural : `${plural}.${group}`;
}
