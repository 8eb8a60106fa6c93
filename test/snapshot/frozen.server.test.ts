import { describe, expect, it } from 'vitest';
import { describeRun } from '../../src/cluster/snapshot/report/text.ts';
import type { KubeObject } from '../../src/cluster/objects/kube-object.ts';
import { codes, heldBy, labels, type Shop, shop, snapshot } from './shop.ts';

const SET = '/apis/apps/v1/namespaces/shop/statefulsets/db';
const POD = '/api/v1/namespaces/shop/pods/db-0';

interface Mounting {
  readonly spec: { readonly containers: readonly object[]; readonly volumes: readonly object[] };
}

const at = ({ api }: Shop, path: string): KubeObject => api.cluster.read(path) as KubeObject;

/** Another claim for the pod of `db`, and the containers of the pod. */
function withClaim(made: Shop, containers: (before: readonly object[]) => readonly object[]): void {
  const { spec } = at(made, POD) as unknown as Mounting;
  made.api.cluster.claim('shop', 'uploads', 'rbd.csi.ceph.com');
  const uploads = { name: 'uploads', persistentVolumeClaim: { claimName: 'uploads' } };
  made.api.cluster.change(POD, {
    spec: { containers: containers(spec.containers), volumes: [...spec.volumes, uploads] },
  });
}

/** A pod of a Job that writes to the claim of `db`. */
function job(made: Shop, phase = 'Running', claimName = 'data-db-0'): void {
  const owner = { apiVersion: 'batch/v1', kind: 'Job', name: 'import', uid: 'j', controller: true };
  made.api.cluster.put('/api/v1/namespaces/shop/pods/import-x', {
    metadata: { ownerReferences: [owner] },
    spec: {
      containers: [{ name: 'c', image: 'app:1', volumeMounts: [{ name: 'd', mountPath: '/d' }] }],
      volumes: [{ name: 'd', persistentVolumeClaim: { claimName } }],
    },
    status: { phase },
  });
}

/** Runs this while the volumes are cut. */
function meanwhile(made: Shop, work: () => void): void {
  const bind = made.api.cluster.onSnapshot;
  let done = false;
  made.api.cluster.onSnapshot = (one, cluster) => {
    if (!done) work();
    done = true;
    bind?.(one, cluster);
  };
}

const APP = { name: 'app', image: 'app:1', volumeMounts: [{ name: 'uploads', mountPath: '/u' }] };

describe('a snapshot is not proven', () => {
  it('of a database with its data on an emptyDir and another claim', async () => {
    const made = await shop();
    const { spec } = at(made, POD) as unknown as Mounting;
    const mounts = ['data', 'dumps'].map((name) => ({ name, mountPath: `/${name}` }));
    const [db, ...rest] = spec.containers;
    made.api.cluster.change(POD, {
      spec: {
        containers: [
          { ...db, volumeMounts: mounts, env: [{ name: 'PGDATA', value: '/data' }] },
          ...rest,
        ],
        volumes: [
          { name: 'data', emptyDir: {} },
          { name: 'dumps', persistentVolumeClaim: { claimName: 'dumps-db-0' } },
        ],
      },
    });
    made.api.cluster.claim('shop', 'dumps-db-0', 'rbd.csi.ceph.com');
    made.api.cluster.change(SET, {
      spec: { volumeClaimTemplates: [{ metadata: { name: 'dumps' }, spec: {} }] },
    });
    const ended = await snapshot(made.api);
    expect([ended.code, ended.run.verdict]).toEqual([7, 'unproven']);
    expect(codes(ended)).toEqual(expect.arrayContaining(['DATA_NOT_CUT', 'CLAIM_NOT_FROZEN']));
    expect(labels(made)).not.toContain('proven');
  });

  it('where another container of its pod writes to a claim', async () => {
    const made = await shop();
    withClaim(made, (before) => [...before, APP]);
    const ended = await snapshot(made.api);
    expect([ended.code, codes(ended)]).toEqual([7, ['CLAIM_NOT_FROZEN']]);
    expect(ended.run.unfrozen).toMatchObject([{ namespace: 'shop', claim: 'uploads' }]);
  });

  it('where a Job writes to the data, be it that the Job came and ended meanwhile', async () => {
    const made = await shop();
    job(made);
    const ended = await snapshot(made.api);
    expect([ended.code, codes(ended)]).toEqual([7, ['CLAIM_NOT_FROZEN']]);
    expect(ended.run.problems[0]?.message).toContain('Job/import');
    const later = await shop();
    meanwhile(later, () => job(later, 'Succeeded'));
    const second = await snapshot(later.api);
    expect([second.code, codes(second)]).toEqual([7, ['CLAIM_NOT_FROZEN']]);
  });

  it('where a pod that nothing chose begins to write during the run', async () => {
    const made = await shop();
    meanwhile(made, () => job(made));
    const ended = await snapshot(made.api);
    expect([ended.code, codes(ended)]).toEqual([7, ['CLAIM_NOT_FROZEN']]);
  });
});

describe('a volume that is declared to need no freeze', () => {
  it('leaves the run proven, which says what it does not promise', async () => {
    const made = await shop({ group: true });
    withClaim(made, (before) => [...before, APP]);
    made.api.cluster.change(SET, {
      metadata: { annotations: { 'quiesce.dev/freeze': 'uploads=none' } },
    });
    const ended = await snapshot(made.api);
    expect([ended.code, codes(ended)]).toEqual([0, ['CLAIM_UNFROZEN']]);
    expect(ended.run.together?.kind).toBe('complete-to');
    const text = describeRun(ended.run).replaceAll(/\s+/g, ' ');
    expect(text).toContain(
      'nothing is proven, since nothing froze them, as declared: shop/uploads',
    );
  });
});

describe('a StatefulSet whose pods are not those that it should have', () => {
  it('is refused before anything is frozen', async () => {
    const made = await shop();
    made.api.cluster.claim('shop', 'data-db-1', 'rbd.csi.ceph.com');
    made.api.cluster.change(SET, { spec: { replicas: 2 } });
    const ended = await snapshot(made.api);
    expect([ended.code, ended.body.error?.code]).toEqual([3, 'MEMBER_NOT_READY']);
    expect(ended.body.error.message).toContain('db-1');
    expect(made.db.engine.calls).not.toContain('hold');
  });

  it('is refused where its only pod is gone: it is not at rest', async () => {
    const made = await shop();
    made.api.cluster.remove(POD);
    const ended = await snapshot(made.api);
    expect([ended.code, ended.body.error?.code]).toEqual([3, 'MEMBER_NOT_READY']);
  });

  it('freezes a pod that is being deleted, and cuts its claim', async () => {
    const made = await shop();
    const second = await made.farm.add({ engine: 'postgres', blocks: false });
    made.api.member('db', second, { ordinal: 1 });
    made.api.cluster.change('/api/v1/namespaces/shop/pods/db-1', {
      metadata: { deletionTimestamp: new Date().toISOString() },
    });
    const ended = await snapshot(made.api);
    expect([ended.code, codes(ended)]).toEqual([0, []]);
    expect(second.engine.calls).toContain('hold');
    expect(labels(made)).toHaveLength(3);
  });

  it('fails where it is scaled up and down again meanwhile', async () => {
    const made = await shop();
    made.api.cluster.change(SET, { metadata: { generation: 1 } });
    meanwhile(made, () => made.api.cluster.change(SET, { metadata: { generation: 3 } }));
    const ended = await snapshot(made.api);
    expect([ended.code, codes(ended)]).toEqual([5, ['MEMBER_CHANGED']]);
    expect(heldBy(made)).toEqual([0, 0]);
  });

  it('at rest is unproven; the claims that it has left behind are named', async () => {
    const made = await shop();
    made.api.cluster.claim('shop', 'data-cache-1', 'rbd.csi.ceph.com');
    made.api.cluster.remove(POD);
    made.api.cluster.change(SET, { spec: { replicas: 0 } });
    const ended = await snapshot(made.api);
    expect([ended.code, codes(ended).toSorted()]).toEqual([
      7,
      ['CLAIM_LEFT_BEHIND', 'MEMBER_AT_REST'],
    ]);
  });
});
