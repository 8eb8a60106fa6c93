import type { Resource } from '../inventory/resources.ts';

const core = { group: '', version: 'v1' } as const;
const apps = { group: 'apps', version: 'v1', namespaced: true } as const;

/** What a plan reads from a cluster, besides custom resources. */
export const PLAN_RESOURCES: readonly Resource[] = [
  {
    ...core,
    kind: 'Pod',
    plural: 'pods',
    namespaced: true,
    why: 'the pods that run, with their volumes and sidecars',
  },
  {
    ...core,
    kind: 'PersistentVolumeClaim',
    plural: 'persistentvolumeclaims',
    namespaced: true,
    why: 'claims, their classes, and whether they are bound',
  },
  {
    ...core,
    kind: 'Service',
    plural: 'services',
    namespaced: true,
    why: 'Services that members depend on',
  },
  { ...apps, kind: 'StatefulSet', plural: 'statefulsets', why: 'members' },
  { ...apps, kind: 'Deployment', plural: 'deployments', why: 'members' },
  { ...apps, kind: 'DaemonSet', plural: 'daemonsets', why: 'members' },
  { ...apps, kind: 'ReplicaSet', plural: 'replicasets', why: 'members without a Deployment' },
  {
    ...core,
    kind: 'ConfigMap',
    plural: 'configmaps',
    namespaced: true,
    why: 'whether an engine is configured to keep its data',
    optional: true,
  },
  {
    ...core,
    kind: 'PersistentVolume',
    plural: 'persistentvolumes',
    namespaced: false,
    why: 'the driver of each volume',
    optional: true,
  },
  {
    group: 'storage.k8s.io',
    version: 'v1',
    kind: 'StorageClass',
    plural: 'storageclasses',
    namespaced: false,
    why: 'the driver of each claim',
    optional: true,
  },
  {
    group: 'snapshot.storage.k8s.io',
    version: 'v1',
    kind: 'VolumeSnapshotClass',
    plural: 'volumesnapshotclasses',
    namespaced: false,
    why: 'whether a driver takes snapshots',
    optional: true,
  },
];
