import type { KubeObject } from '../../../src/cluster/objects/kube-object.ts';
import { planOf } from '../../../src/cluster/plan/plan.ts';
import type { CopyOrder } from '../../../src/cluster/drill/copies.ts';
import type { DrillSource } from '../../../src/cluster/drill/source.ts';
import type { SourceVolume } from '../../../src/cluster/restore/volumes/source-volume.ts';

export const MARKS = {
  id: 'shop-20261130030000-ab12',
  group: 'shop',
  expires: '2026-11-30T05:00:00.000Z',
};
export const SIDECAR = 'registry.example/quiesce:1.2.3';

export const ORDER: CopyOrder = {
  marks: MARKS,
  check: 'position',
  activeSeconds: 600,
  storageClasses: new Map(),
  snapshotClasses: new Set(['fast']),
  gate: { addresses: ['10.0.0.7:5432'], forMs: 2_000, withinMs: 30_000 },
};

/** A pod as the API server has it: injected, on a node, with everything that production has. */
export function livePod(own: Partial<Record<string, unknown>> = {}, name = 'db-0'): KubeObject {
  return {
    apiVersion: 'v1',
    kind: 'Pod',
    metadata: {
      name,
      namespace: 'shop',
      uid: `uid-${name}`,
      labels: { app: 'db', 'quiesce.dev/inject': 'true', 'team.example/pager': 'yes' },
      annotations: {
        'quiesce.dev/engine': 'postgres',
        'quiesce.dev/container': 'postgres',
        'pre.hook.backup.velero.io/command': '["quiesce","freeze"]',
        'prometheus.io/scrape': 'true',
      },
      ownerReferences: [
        { apiVersion: 'apps/v1', kind: 'StatefulSet', name: 'db', uid: 's', controller: true },
      ],
    },
    spec: {
      nodeName: 'node-1',
      serviceAccountName: 'db-admin',
      priorityClassName: 'production-critical',
      hostNetwork: true,
      hostname: name,
      subdomain: 'db',
      hostAliases: [{ ip: '10.9.9.9', hostnames: ['primary.prod'] }],
      nodeSelector: { disk: 'ssd' },
      affinity: { podAntiAffinity: { x: 1 }, nodeAffinity: { y: 1 } },
      initContainers: [
        { name: 'render', image: 'busybox', volumeMounts: [{ name: 'conf', mountPath: '/c' }] },
        { name: 'wait-for-etcd', image: 'busybox', command: ['sh', '-c', 'until nc etcd 2379'] },
      ],
      containers: [
        {
          name: 'postgres',
          image: 'postgres:17',
          env: [
            {
              name: 'POSTGRES_PASSWORD',
              valueFrom: { secretKeyRef: { name: 'db', key: 'password' } },
            },
          ],
          ports: [{ name: 'postgres', containerPort: 5432, hostPort: 5432 }],
          readinessProbe: { exec: { command: ['pg_isready'] } },
          livenessProbe: { tcpSocket: { port: 5432 } },
          lifecycle: { postStart: { exec: { command: ['register'] } } },
          volumeMounts: [
            { name: 'data', mountPath: '/var/lib/postgresql/data' },
            { name: 'conf', mountPath: '/conf' },
            { name: 'archive', mountPath: '/archive' },
            {
              name: 'kube-api-access-x',
              mountPath: '/var/run/secrets/kubernetes.io/serviceaccount',
            },
          ],
        },
        { name: 'quiesce', image: SIDECAR, args: ['sidecar'], env: [] },
        { name: 'exporter', image: 'postgres-exporter', ports: [{ containerPort: 9187 }] },
      ],
      volumes: [
        { name: 'data', persistentVolumeClaim: { claimName: `data-${name}` } },
        { name: 'conf', emptyDir: {} },
        { name: 'archive', nfs: { server: 'nfs.prod', path: '/wal' } },
        { name: 'kube-api-access-x', projected: { sources: [{ serviceAccountToken: {} }] } },
      ],
      ...own,
    },
    status: { phase: 'Running', podIP: '10.0.0.7' },
  };
}

export function statefulSet(replicas = 1): KubeObject {
  const { spec, metadata } = livePod();
  const { nodeName: _, ...template } = spec as Record<string, unknown>;
  return {
    apiVersion: 'apps/v1',
    kind: 'StatefulSet',
    metadata: { name: 'db', namespace: 'shop', uid: 's' },
    spec: {
      replicas,
      serviceName: 'db',
      selector: { matchLabels: { app: 'db' } },
      template: {
        metadata: { labels: metadata?.labels, annotations: metadata?.annotations },
        spec: template,
      },
      volumeClaimTemplates: [
        {
          metadata: { name: 'data' },
          spec: { accessModes: ['ReadWriteOnce'], resources: { requests: { storage: '1Gi' } } },
        },
      ],
    },
  };
}

export function claim(name: string): KubeObject {
  return {
    apiVersion: 'v1',
    kind: 'PersistentVolumeClaim',
    metadata: { name, namespace: 'shop' },
    spec: {
      accessModes: ['ReadWriteOnce'],
      storageClassName: 'ssd',
      resources: { requests: { storage: '1Gi' } },
    },
    status: { phase: 'Bound' },
  };
}

export function volume(name: string, own: Partial<SourceVolume> = {}): SourceVolume {
  return {
    namespace: 'shop',
    claim: name,
    stored: { driver: 'csi.example', handle: `handle-${name}`, className: 'fast', annotations: {} },
    snapshot: { namespace: 'shop', name: `snap-${name}` },
    restoreSize: 2 ** 30,
    ...own,
  };
}

/** A run of `quiesce snapshot` over what these objects describe. */
export function sourceOf(
  objects: readonly KubeObject[],
  volumes: readonly SourceVolume[],
  own: Partial<DrillSource> = {},
): DrillSource {
  const inventory = { objects, scope: 'cluster', unexamined: [], now: 0 } as const;
  const { plan, members } = planOf(inventory, { namespaces: ['shop'] });
  return {
    about: { kind: 'snapshot', name: 'shop-20261130020000-cd34' },
    plan,
    members,
    volumes,
    without: [],
    claims: objects.filter(({ kind }) => kind === 'PersistentVolumeClaim'),
    receiptId: 'shop-20261130020000-cd34',
    problems: [],
    config: () => Promise.resolve(undefined),
    namespace: () => Promise.resolve(undefined),
    addresses: ['10.0.0.7:5432'],
    ...own,
  };
}
