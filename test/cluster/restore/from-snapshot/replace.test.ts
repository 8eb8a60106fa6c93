import { beforeEach, describe, expect, it } from 'vitest';
import { ObjectApi } from '../../../../src/cluster/api/objects.ts';
import { type KubeObject, textAt } from '../../../../src/cluster/objects/kube-object.ts';
import type { Plan, PlanMember } from '../../../../src/cluster/plan/document.ts';
import { checkReplace } from '../../../../src/cluster/restore/from-snapshot/replace/check.ts';
import {
  deleteKept,
  readKept,
} from '../../../../src/cluster/restore/from-snapshot/replace/kept.ts';
import { replaceAll } from '../../../../src/cluster/restore/from-snapshot/replace/replace.ts';
import { scaleUp, stoppedBy } from '../../../../src/cluster/restore/from-snapshot/replace/scale.ts';
import { sourceProblems } from '../../../../src/cluster/restore/from-snapshot/problems.ts';
import type { ToMake } from '../../../../src/cluster/restore/volumes/make.ts';
import type { SourceVolume } from '../../../../src/cluster/restore/volumes/source-volume.ts';
import { SimulatedCluster } from '../../snapshot/simulated-cluster.ts';

const DRIVER = 'rbd.csi.ceph.com';
const ID = 'shop-20261201000000-cd34';
const soon = (): AbortSignal => AbortSignal.timeout(20_000);
const CLAIM = '/api/v1/namespaces/shop/persistentvolumeclaims/data-db-0';
const VOLUME = '/api/v1/persistentvolumes/pv-shop-data-db-0';
const SET = '/apis/apps/v1/namespaces/shop/statefulsets/db';
const WEB = '/apis/apps/v1/namespaces/shop/deployments/web';
const CRON = '/apis/batch/v1/namespaces/shop/cronjobs/nightly';
const POD = '/api/v1/namespaces/shop/pods/db-0';

const member = (kind: string, name: string, more: Partial<PlanMember> = {}): PlanMember => ({
  namespace: 'shop',
  kind,
  name,
  stage: 'databases',
  from: 'image',
  priority: 'normal',
  protection: 'sidecar',
  pods: [],
  claims: [],
  after: [],
  dependsOn: [],
  ...more,
});
const planWith = (...members: readonly PlanMember[]): Plan => ({
  apiVersion: 'quiesce.dev/v1',
  kind: 'Plan',
  group: 'shop',
  namespaces: ['shop'],
  layers: [{ members }],
  problems: [],
  notKept: [],
});
const db = member('StatefulSet', 'db', { pods: ['db-0'], claims: ['data-db-0'] });
const plan = planWith(db, member('Deployment', 'web', { pods: ['web-x'] }));
const volume: SourceVolume = {
  namespace: 'shop',
  claim: 'data-db-0',
  snapshot: { namespace: 'shop', name: 'cut' },
  stored: { driver: DRIVER, handle: 'h', annotations: {} },
  restoreSize: 2 ** 30,
  record: { accessModes: ['ReadWriteOnce'], storageClass: 'fast' },
};
const volumes: readonly ToMake[] = [
  { volume, target: { id: ID, group: 'shop', namespace: 'shop' }, claims: [] },
];

let cluster: SimulatedCluster;
let api: ObjectApi;

beforeEach(() => {
  cluster = new SimulatedCluster();
  api = new ObjectApi(cluster);
  cluster.put('/apis/storage.k8s.io/v1/storageclasses/fast', { provisioner: DRIVER });
  cluster.claim('shop', 'data-db-0', DRIVER);
  cluster.change(VOLUME, {
    spec: { persistentVolumeReclaimPolicy: 'Delete', capacity: { storage: '1Gi' } },
  });
  cluster.put(SET, { spec: { replicas: 3 } });
  cluster.put(WEB, { spec: { replicas: 2 } });
  cluster.put(CRON, { spec: { suspend: false } });
  cluster.put(POD, {
    spec: { volumes: [{ name: 'data', persistentVolumeClaim: { claimName: 'data-db-0' } }] },
  });
  play();
});

/** Plays the controllers: pods end with their workload, volumes are released or deleted with their claim. */
function play(fail?: (call: number) => boolean): () => number {
  let calls = 0;
  cluster.intercept = (method, path) => {
    calls += 1;
    if (fail?.(calls) === true) throw new Error('killed');
    if (at(SET) === 0) cluster.remove(POD);
    const bound = cluster.read(CLAIM)?.metadata?.uid;
    const owner = textAt(cluster.read(VOLUME), 'spec', 'claimRef', 'uid');
    if (bound !== owner && cluster.read(VOLUME) !== undefined) {
      const policy = textAt(cluster.read(VOLUME), 'spec', 'persistentVolumeReclaimPolicy');
      if (policy === 'Delete') cluster.remove(VOLUME);
      else cluster.change(VOLUME, { status: { phase: 'Released' } });
    }
    void method;
    void path;
    return undefined;
  };
  return () => calls;
}

function at(path: string): unknown {
  return (cluster.read(path)?.['spec'] as { replicas?: number } | undefined)?.replicas;
}

function judgeReplaced(): void {
  const claim = cluster.read(CLAIM) as KubeObject;
  expect(claim.metadata?.labels?.['quiesce.dev/restore']).toBe(ID);
  expect(textAt(claim, 'spec', 'dataSource', 'name')).toBe('cut');
  expect([at(SET), at(WEB)]).toEqual([3, 2]);
  for (const path of [SET, WEB]) {
    expect(cluster.read(path)?.metadata?.annotations ?? {}).toEqual({});
  }
  const kept = cluster.read(VOLUME);
  expect(kept?.metadata?.labels?.['quiesce.dev/replaced-by']).toBe(ID);
  expect(kept?.metadata?.annotations).toMatchObject({
    'quiesce.dev/replaced-claim': 'shop/data-db-0',
    'quiesce.dev/replaced-policy': 'Delete',
  });
  expect(textAt(kept, 'spec', 'persistentVolumeReclaimPolicy')).toBe('Retain');
  expect(cluster.read(CRON)).toMatchObject({
    metadata: { annotations: { 'quiesce.dev/restore-suspended': ID } },
    spec: { suspend: true },
  });
}

describe('replacing volumes in place', () => {
  it('stops the workloads, keeps the volumes, and gives each workload its own replicas again', async () => {
    await replaceAll(api, { id: ID, plan, volumes }, soon());
    judgeReplaced();
    const again = cluster.read(CLAIM)?.metadata?.uid;
    await replaceAll(api, { id: ID, plan, volumes }, soon());
    expect(cluster.read(CLAIM)?.metadata?.uid).toBe(again);
    judgeReplaced();
  });

  it('makes the volume outlive its claim before anything is scaled down', async () => {
    await replaceAll(api, { id: ID, plan, volumes }, soon());
    const retained = cluster.calls.indexOf(`PATCH ${VOLUME}`);
    const scaled = cluster.calls.indexOf(`PATCH ${SET}`);
    expect(retained).toBeGreaterThanOrEqual(0);
    expect(retained).toBeLessThan(scaled);
  });

  it('deletes no claim whose volume would go with it', async () => {
    const seen = play();
    const plain = cluster.intercept;
    cluster.intercept = (method, path) => {
      const instead = plain?.(method, path);
      // Somebody sets the policy back, again and again.
      if (cluster.read(VOLUME) !== undefined) {
        cluster.change(VOLUME, { spec: { persistentVolumeReclaimPolicy: 'Delete' } });
      }
      return instead;
    };
    await expect(replaceAll(api, { id: ID, plan, volumes }, soon())).rejects.toMatchObject({
      code: 'RESTORE_FAILED',
    });
    expect(seen()).toBeGreaterThan(0);
    expect(cluster.read(CLAIM)?.metadata?.labels?.['quiesce.dev/restore']).toBeUndefined();
    expect(cluster.read(VOLUME)).toBeDefined();
  });

  it('loses nothing when it is killed at any call, and goes on from there', async () => {
    const count = play();
    await replaceAll(api, { id: ID, plan, volumes }, soon());
    const total = count();
    expect(total).toBeGreaterThan(10);
    for (let last = 1; last < total; last += 1) {
      cluster = new SimulatedCluster();
      api = new ObjectApi(cluster);
      cluster.claim('shop', 'data-db-0', DRIVER);
      cluster.change(VOLUME, { spec: { persistentVolumeReclaimPolicy: 'Delete' } });
      cluster.put(SET, { spec: { replicas: 3 } });
      cluster.put(WEB, { spec: { replicas: 2 } });
      cluster.put(CRON, { spec: { suspend: false } });
      cluster.put(POD, {
        spec: { volumes: [{ name: 'data', persistentVolumeClaim: { claimName: 'data-db-0' } }] },
      });
      const end = new AbortController();
      play((call) => {
        if (call > last) end.abort(new Error('killed'));
        return call > last;
      });
      await expect(replaceAll(api, { id: ID, plan, volumes }, end.signal)).rejects.toThrow();
      expect(cluster.read(VOLUME), `killed after ${last} calls`).toBeDefined();
      play();
      await replaceAll(api, { id: ID, plan, volumes }, soon());
      judgeReplaced();
    }
  }, 60_000);

  it('names the workloads that a stopped run has left at 0', async () => {
    play((call) => call > 12);
    const end = AbortSignal.timeout(400);
    await replaceAll(api, { id: ID, plan, volumes }, end).catch(() => undefined);
    play();
    expect(await stoppedBy(api, ID, ['shop'])).toContain('shop StatefulSet/db');
    await scaleUp(api, plan, ID);
    expect(await stoppedBy(api, ID, ['shop'])).toEqual([]);
  });

  it.each([
    ['an operator’s resource', member('Cluster', 'pg', { claims: ['pg-1'] })],
    [
      'a pod without a controller that has the claim',
      member('Pod', 'p', { claims: ['data-db-0'] }),
    ],
    ['a DaemonSet that has the claim', member('DaemonSet', 'd', { claims: ['data-db-0'] })],
  ])('is refused for %s, with nothing changed', async (_what, one) => {
    const before = cluster.calls.length;
    await expect(checkReplace(api, planWith(db, one), volumes)).rejects.toMatchObject({
      code: 'REPLACE_IMPOSSIBLE',
      message: expect.stringContaining(one.name) as string,
    });
    expect(cluster.calls.slice(before).filter((call) => !call.startsWith('GET'))).toEqual([]);
  });

  it('deletes a replaced volume when told so, and none that a claim has', async () => {
    await replaceAll(api, { id: ID, plan, volumes }, soon());
    const used = '/api/v1/persistentvolumes/pv-used';
    cluster.put(used, {
      metadata: { labels: { 'quiesce.dev/replaced-by': ID } },
      spec: { persistentVolumeReclaimPolicy: 'Retain' },
      status: { phase: 'Bound' },
    });
    const kept = await readKept(api, ID);
    expect(kept).toMatchObject([
      { claim: 'shop/data-db-0', free: true },
      { volume: 'pv-used', free: false },
    ]);
    await deleteKept(api, kept);
    // The volume controller deletes it at its next look.
    expect(textAt(cluster.read(VOLUME), 'spec', 'persistentVolumeReclaimPolicy')).toBe('Delete');
    expect(textAt(cluster.read(used), 'spec', 'persistentVolumeReclaimPolicy')).toBe('Retain');
  });
});

describe('what keeps a restore from being proven', () => {
  const of = (verdict: 'proven' | 'unproven', members = plan, replace = false) =>
    sourceProblems({
      run: 'r1',
      volumes: { group: 'shop', verdict, volumes: [volume] },
      plan: members,
      replace,
    }).map(({ code, message }) => `${code}: ${message}`);

  it('is nothing where a proven run has all claims of all members', () => {
    expect(of('proven')).toEqual([]);
  });

  it('is the verdict of the run, a claim that it lacks, and a claim that nobody uses', () => {
    const other = planWith({ ...db, claims: ['other'] });
    expect(of('unproven', other)).toEqual([
      expect.stringMatching(/^RUN_UNPROVEN/),
      expect.stringMatching(/^CLAIM_NOT_IN_RUN.*other.*empty/),
      expect.stringMatching(/^CLAIM_UNUSED.*data-db-0/),
    ]);
    expect(of('proven', other, true)[0]).toMatch(/keep the data that they have/);
    const left = planWith({
      ...db,
      claims: ['data-db-0', 'x'],
      leftOut: { pods: [], claims: ['x'] },
    });
    expect(of('proven', left)).toEqual([]);
  });
});
