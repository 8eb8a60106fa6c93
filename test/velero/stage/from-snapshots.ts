import { stringify } from 'yaml';
import type { App } from '../apps/index.ts';
import type { SnapshotSeen } from './group-run.ts';
import type { Stage } from './stage.ts';

interface Snapshot {
  readonly spec: { readonly source: { readonly persistentVolumeClaimName?: string } };
  readonly status: { readonly boundVolumeSnapshotContentName: string };
}

interface Content {
  readonly spec: { readonly driver: string; readonly volumeSnapshotClassName?: string };
  readonly status: { readonly snapshotHandle: string };
}

interface Claim {
  readonly spec: Readonly<Record<string, unknown>>;
}

/**
 * Brings an application up in a namespace of its own, on volumes made from VolumeSnapshots of another one: each
 * snapshot gets a content of its own there, which leaves the original alone. Waits for the pods.
 */
export async function bringUp(
  stage: Stage,
  app: App,
  snapshots: readonly SnapshotSeen[],
): Promise<void> {
  const { namespace } = app;
  await stage.tools.apply(
    stringify({ apiVersion: 'v1', kind: 'Namespace', metadata: { name: namespace } }),
  );
  for (const snapshot of snapshots) await claimFrom(stage, namespace, snapshot);
  await stage.tools.apply(app.manifest());
  await stage.ready(namespace, app.pods);
}

async function claimFrom(stage: Stage, into: string, snapshot: SnapshotSeen): Promise<void> {
  const { tools } = stage;
  const { namespace, name, claim } = snapshot;
  const found = await tools.get<Snapshot>('volumesnapshot', name, '-n', namespace);
  const { boundVolumeSnapshotContentName: bound } = found.status;
  const content = await tools.get<Content>('volumesnapshotcontent', bound);
  const original = await tools.get<Claim>('pvc', claim, '-n', namespace);
  const group = 'snapshot.storage.k8s.io';
  const own = `${into}-${claim}`;
  const objects = [
    {
      apiVersion: `${group}/v1`,
      kind: 'VolumeSnapshotContent',
      metadata: { name: own },
      spec: {
        deletionPolicy: 'Retain',
        driver: content.spec.driver,
        source: { snapshotHandle: content.status.snapshotHandle },
        volumeSnapshotClassName: content.spec.volumeSnapshotClassName,
        volumeSnapshotRef: { name: claim, namespace: into },
      },
    },
    {
      apiVersion: `${group}/v1`,
      kind: 'VolumeSnapshot',
      metadata: { name: claim, namespace: into },
      spec: { source: { volumeSnapshotContentName: own } },
    },
    {
      apiVersion: 'v1',
      kind: 'PersistentVolumeClaim',
      metadata: { name: claim, namespace: into },
      spec: {
        accessModes: original.spec['accessModes'],
        resources: original.spec['resources'],
        storageClassName: original.spec['storageClassName'],
        dataSource: { apiGroup: group, kind: 'VolumeSnapshot', name: claim },
      },
    },
  ];
  await tools.apply(objects.map((one) => stringify(one)).join('---\n'));
}
