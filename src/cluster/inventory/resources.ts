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
  /** What it is read for. */
  readonly why: string;
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
  {
    group: '',
    version: 'v1',
    kind: 'Pod',
    plural: 'pods',
    why: 'pods that operators own, and what really runs: sidecars, their versions, their state',
    namespaced: true,
  },
  {
    group: '',
    version: 'v1',
    kind: 'PersistentVolumeClaim',
    plural: 'persistentvolumeclaims',
    why: 'claims that Velero leaves out, or takes as a group',
    namespaced: true,
  },
  {
    group: '',
    version: 'v1',
    kind: 'Namespace',
    plural: 'namespaces',
    why: 'whether the webhook is called there; that a namespace you named exists',
    namespaced: false,
    optional: true,
  },
  { ...apps, kind: 'StatefulSet', plural: 'statefulsets', why: 'what is to be protected' },
  {
    ...apps,
    kind: 'Deployment',
    plural: 'deployments',
    why: 'databases in Deployments; Velero’s server, its version and arguments; the webhook’s',
    ofVelero: 'too',
  },
  { ...apps, kind: 'DaemonSet', plural: 'daemonsets', why: 'Velero’s node agent', ofVelero: 'too' },
  {
    group: 'admissionregistration.k8s.io',
    version: 'v1',
    kind: 'MutatingWebhookConfiguration',
    plural: 'mutatingwebhookconfigurations',
    why: 'the webhook: its CA, its selectors, its failure policy',
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
    why: 'whether there is one, where claims are in a group',
    namespaced: false,
  },
  {
    ...velero,
    kind: 'Schedule',
    plural: 'schedules',
    why: 'whether what is protected is backed up, by which hooks, and how its volumes are copied',
  },
  {
    ...velero,
    kind: 'BackupStorageLocation',
    plural: 'backupstoragelocations',
    why: 'whether backups have a place',
  },
];

/** As `kubectl api-resources` names it: `schedules.velero.io`. */
export function resourceName({ group, plural }: Resource): string {
  return group === '' ? plural : `${plural}.${group}`;
}
