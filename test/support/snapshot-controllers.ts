import { readdir, readFile } from 'node:fs/promises';
import { join, resolve } from 'node:path';
import { parse } from 'yaml';
import type { KubeObject } from '../../src/cluster/objects/kube-object.ts';
import { textAt } from '../../src/cluster/objects/kube-object.ts';
import { built } from './built.ts';
import type { ControlPlane } from './kubernetes.ts';

const DEFINITIONS = resolve('scripts/snapshot-definitions.mjs');
const SNAPSHOT = '/apis/snapshot.storage.k8s.io/v1';
const GROUP = '/apis/groupsnapshot.storage.k8s.io/v1beta2';
export const CLAIMS = '/api/v1/namespaces/shop/persistentvolumeclaims';
export const SNAPSHOTS = `${SNAPSHOT}/namespaces/shop/volumesnapshots`;
export const CONTENTS = `${SNAPSHOT}/volumesnapshotcontents`;
export const GROUPS = `${GROUP}/namespaces/shop/volumegroupsnapshots`;

/** Defines the real kinds, with their schemas and status subresources. */
export async function defineSnapshotKinds(plane: ControlPlane): Promise<void> {
  const folder = (await built(DEFINITIONS)).trim();
  for (const file of await readdir(folder)) {
    if (!file.includes('snapshot.storage')) continue;
    const body: unknown = parse(await readFile(join(folder, file), 'utf8'));
    await plane.must('POST', '/apis/apiextensions.k8s.io/v1/customresourcedefinitions', body);
  }
  for (const path of [SNAPSHOTS, CONTENTS, GROUPS]) {
    const end = Date.now() + 60_000;
    while ((await plane.call('GET', path)).status !== 200) {
      if (Date.now() > end) throw new Error(`${path} is not served`);
      await new Promise((resolved) => setTimeout(resolved, 200));
    }
  }
}

/** A claim that is bound to a volume of a driver. No controller of volumes runs. */
export async function boundClaim(
  plane: ControlPlane,
  name: string,
  driver: string,
): Promise<string> {
  const volume = `pv-${name}-${Date.now().toString(36)}`;
  const spec = { accessModes: ['ReadWriteOnce'], storageClassName: '' };
  const claim = await plane.must<KubeObject>('POST', CLAIMS, {
    metadata: { name },
    spec: { ...spec, volumeName: volume, resources: { requests: { storage: '1Gi' } } },
  });
  const uid = claim.metadata?.uid ?? '';
  await plane.must('POST', '/api/v1/persistentvolumes', {
    metadata: { name: volume },
    spec: {
      ...spec,
      capacity: { storage: '1Gi' },
      claimRef: { namespace: 'shop', name, uid },
      csi: { driver, volumeHandle: `handle-${volume}` },
    },
  });
  await plane.must('PATCH', `${CLAIMS}/${name}/status`, {
    status: { phase: 'Bound', capacity: { storage: '1Gi' } },
  });
  return uid;
}

/** Deletes a claim although no controller lifts its finalizers. */
export async function removeClaim(plane: ControlPlane, name: string): Promise<void> {
  await plane.call('DELETE', `${CLAIMS}/${name}`);
  await plane.call('PATCH', `${CLAIMS}/${name}`, { metadata: { finalizers: null } });
}

/** Plays the snapshot controller and the csi-snapshotter for one snapshot: bound, cut and ready. */
export async function playSnapshot(plane: ControlPlane, snapshot: KubeObject): Promise<void> {
  const { name = '', uid = '', namespace = '' } = snapshot.metadata ?? {};
  const claim = textAt(snapshot, 'spec', 'source', 'persistentVolumeClaimName') ?? '';
  const bound = await plane.must<KubeObject>('GET', `${CLAIMS}/${claim}`);
  const volume = textAt(bound, 'spec', 'volumeName') ?? '';
  const pv = await plane.must<KubeObject>('GET', `/api/v1/persistentvolumes/${volume}`);
  const content = `snapcontent-${uid}`;
  await plane.must('POST', CONTENTS, {
    apiVersion: 'snapshot.storage.k8s.io/v1',
    kind: 'VolumeSnapshotContent',
    metadata: { name: content },
    spec: {
      deletionPolicy: 'Delete',
      driver: textAt(pv, 'spec', 'csi', 'driver'),
      source: { volumeHandle: textAt(pv, 'spec', 'csi', 'volumeHandle') },
      volumeSnapshotRef: { namespace, name, uid },
    },
  });
  await plane.must('PATCH', `${CONTENTS}/${content}/status`, {
    status: { snapshotHandle: `cut-${uid}`, creationTime: Date.now() * 1e6, readyToUse: true },
  });
  await plane.must('PATCH', `${SNAPSHOTS}/${name}/status`, {
    status: {
      boundVolumeSnapshotContentName: content,
      creationTime: new Date().toISOString(),
      readyToUse: true,
      restoreSize: '1Gi',
    },
  });
}

/** Plays the same for a group snapshot: a member of each claim that its selector matches. */
export async function playGroup(plane: ControlPlane, group: KubeObject): Promise<void> {
  const { name = '', uid = '' } = group.metadata ?? {};
  const { source } = group['spec'] as {
    source: { selector: { matchLabels: Record<string, string> } };
  };
  const selector = Object.entries(source.selector.matchLabels).map((pair) => pair.join('='));
  const query = `labelSelector=${encodeURIComponent(selector.join(','))}`;
  const { items } = await plane.must<{ items: KubeObject[] }>('GET', `${CLAIMS}?${query}`);
  const content = `groupcontent-${uid}`;
  await plane.must('POST', `${GROUP}/volumegroupsnapshotcontents`, {
    apiVersion: 'groupsnapshot.storage.k8s.io/v1beta2',
    kind: 'VolumeGroupSnapshotContent',
    metadata: { name: content },
    spec: {
      deletionPolicy: 'Delete',
      driver: 'rbd.csi.ceph.com',
      source: { volumeHandles: items.map(({ metadata }) => metadata?.name) },
      volumeGroupSnapshotRef: { namespace: 'shop', name, uid },
    },
  });
  await plane.must('PATCH', `${GROUP}/volumegroupsnapshotcontents/${content}/status`, {
    status: { volumeGroupSnapshotHandle: `group-${uid}`, creationTime: new Date().toISOString() },
  });
  await plane.must('PATCH', `${GROUPS}/${name}/status`, {
    status: { boundVolumeGroupSnapshotContentName: content },
  });
  const apiVersion = 'groupsnapshot.storage.k8s.io/v1';
  for (const { metadata } of items) {
    await plane.must('POST', SNAPSHOTS, {
      apiVersion: 'snapshot.storage.k8s.io/v1',
      kind: 'VolumeSnapshot',
      metadata: {
        name: `member-${uid.slice(0, 8)}-${metadata?.name ?? ''}`,
        ownerReferences: [{ apiVersion, kind: 'VolumeGroupSnapshot', name, uid }],
      },
      spec: { source: { persistentVolumeClaimName: metadata?.name } },
    });
  }
}
