import type { Edit } from './manifest.ts';

/** Moves the application into another namespace. */
export const inNamespace =
  (name: string): Edit =>
  (manifest) => {
    for (const { kind, metadata } of manifest.objects) {
      if (kind === 'Namespace') metadata.name = name;
      else metadata.namespace = name;
    }
  };

export const onStorageClass =
  (storageClassName: string): Edit =>
  ({ workload }) => {
    for (const { spec } of workload.spec.volumeClaimTemplates)
      spec.storageClassName = storageClassName;
  };

export const annotated =
  (annotations: Readonly<Record<string, string>>): Edit =>
  (manifest) =>
    manifest.annotate(annotations);

/** A set of one: a backup then holds one pod, once. */
export const oneMember: Edit = ({ workload }) => {
  workload.spec.replicas = 1;
};

/** Without the label: the webhook leaves the pods alone. */
export const notInjected: Edit = ({ template }) => {
  delete template.metadata.labels?.['quiesce.dev/inject'];
};

/** Pod Security "restricted": enforced in the namespace, and kept by the pod. */
export const restricted: Edit = (manifest) => {
  const { metadata } = manifest.find('Namespace');
  metadata.labels = { ...metadata.labels, 'pod-security.kubernetes.io/enforce': 'restricted' };
  const pod = manifest.template.spec;
  pod.securityContext = {
    ...asUser,
    runAsNonRoot: true,
    seccompProfile: { type: 'RuntimeDefault' },
  };
  for (const container of [...(pod.initContainers ?? []), ...pod.containers])
    container.securityContext = {
      allowPrivilegeEscalation: false,
      capabilities: { drop: ['ALL'] },
    };
};

/** The user of the official images of all three engines. */
export const asUser = { runAsUser: 999, runAsGroup: 999, fsGroup: 999 } as const;

/**
 * A namespace in which each container must have limits for CPU and memory. The database states its own.
 *
 * @param limitRange with defaults for containers that state none, as such namespaces usually have
 */
export const underQuota =
  ({ limitRange = true }: { limitRange?: boolean } = {}): Edit =>
  (manifest) => {
    // Enough for a set of three, each pod with a sidecar.
    const hard = { cpu: '8', memory: '8Gi' };
    const named = Object.entries(hard).flatMap(([name, value]) => [
      [`requests.${name}`, value],
      [`limits.${name}`, value],
    ]);
    const quota = { hard: Object.fromEntries(named) as object };
    manifest.add({
      apiVersion: 'v1',
      kind: 'ResourceQuota',
      metadata: { name: 'quota' },
      spec: quota,
    });
    const limits = [
      {
        type: 'Container',
        default: { cpu: '1', memory: '512Mi' },
        defaultRequest: { cpu: '50m', memory: '64Mi' },
      },
    ];
    if (limitRange)
      manifest.add({
        apiVersion: 'v1',
        kind: 'LimitRange',
        metadata: { name: 'limits' },
        spec: { limits },
      });
    const resources = {
      requests: { cpu: '50m', memory: '256Mi' },
      limits: { cpu: '1', memory: '512Mi' },
    };
    const { initContainers = [], containers } = manifest.template.spec;
    for (const container of [...initContainers, ...containers]) container.resources = resources;
  };

/** Backed up file by file, with Velero's file-system backup. The volume has space for the staged copy. */
export const copiedByFile =
  ({ ttl }: { ttl?: string } = {}): Edit =>
  (manifest) => {
    manifest.annotate({
      'backup.velero.io/backup-volumes': 'data',
      'quiesce.dev/copy': 'files',
      ...(ttl === undefined ? {} : { 'quiesce.dev/ttl': ttl }),
    });
    for (const { spec } of manifest.workload.spec.volumeClaimTemplates)
      spec.resources.requests.storage = '2Gi';
  };

/** Hooks that call quiesce with flags of the user's own: the webhook keeps their commands. */
export const ownQuiesceHooks: Edit = (manifest) =>
  manifest.annotate({
    'pre.hook.backup.velero.io/container': 'quiesce',
    'pre.hook.backup.velero.io/command': JSON.stringify(['quiesce', 'freeze', '--timeout', '40s']),
    'pre.hook.backup.velero.io/timeout': '50s',
    'post.hook.backup.velero.io/container': 'quiesce',
    'post.hook.backup.velero.io/command': JSON.stringify(['quiesce', 'thaw']),
    'post.hook.backup.velero.io/timeout': '50s',
  });
