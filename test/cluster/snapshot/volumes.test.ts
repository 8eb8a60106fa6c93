import { describe, expect, it } from 'vitest';
import type { PlanMember } from '../../../src/cluster/plan/document.ts';
import {
  ClusterVolumes,
  type VolumeOptions,
} from '../../../src/cluster/snapshot/cluster-volumes.ts';
import { QuiesceError } from '../../../src/errors.ts';
import {
  claimNameOf,
  contentPath,
  GROUP_API,
  SimulatedCluster,
  snapshotPath,
  status,
} from './simulated-cluster.ts';

const DRIVER = 'rbd.csi.ceph.com';
const RUN = { id: 'shop-20261130t180300z-ab12', group: 'shop' };
const never = new AbortController().signal;
const soon = (ms = 400): AbortSignal => AbortSignal.timeout(ms);

function member(claims: readonly string[], namespace = 'shop', name = 'db'): PlanMember {
  return {
    namespace,
    kind: 'StatefulSet',
    name,
    stage: 'databases',
    from: 'image',
    priority: 'normal',
    protection: 'sidecar',
    pods: [`${name}-0`],
    claims,
    after: [],
    dependsOn: [],
  };
}

const members = [member(['data-db-0']), member(['data-cache-0'], 'shop', 'cache')];

function simulated(options: Partial<VolumeOptions> = {}) {
  const cluster = new SimulatedCluster();
  cluster.claim('shop', 'data-db-0', DRIVER);
  cluster.claim('shop', 'data-cache-0', DRIVER);
  cluster.snapshotClass('rbd', DRIVER);
  const volumes = new ClusterVolumes(cluster, { namespaces: ['shop'], ...options });
  return { cluster, volumes };
}

function withGroups(options: Partial<VolumeOptions> = {}) {
  const { cluster, volumes } = simulated(options);
  cluster.groupVersions = ['v1beta1', 'v1beta2'];
  cluster.put(`/apis/${GROUP_API}/v1beta2/volumegroupsnapshotclasses/group`, { driver: DRIVER });
  return { cluster, volumes };
}

async function refusal(of: Promise<unknown>): Promise<QuiesceError> {
  const error = await of.catch((thrown: unknown) => thrown);
  if (error instanceof QuiesceError) return error;
  throw new Error(`not refused: ${String(error)}`);
}

const codesOf = (problems: readonly { readonly code: string }[]) =>
  problems.map(({ code }) => code);

describe('before anything is frozen', () => {
  it('plans each claim once, also one that two members mount, with its uid, volume and pods', async () => {
    const { cluster, volumes } = simulated();
    for (const pod of ['db-0', 'web-1']) {
      cluster.put(`/api/v1/namespaces/shop/pods/${pod}`, {
        spec: { volumes: [{ name: 'd', persistentVolumeClaim: { claimName: 'data-db-0' } }] },
      });
    }
    const plan = await volumes.preflight([...members, member(['data-db-0'], 'shop', 'web')], never);
    expect(plan.claims.map(({ claim }) => claim)).toEqual(['data-db-0', 'data-cache-0']);
    const uid = cluster.read('/api/v1/namespaces/shop/persistentvolumeclaims/data-db-0')?.metadata
      ?.uid;
    expect(plan.claims[0]).toMatchObject({
      uid,
      driver: DRIVER,
      snapshotClass: 'rbd',
      atomic: true,
      handle: 'handle-pv-shop-data-db-0',
      bytes: 2 ** 30,
      pods: ['db-0', 'web-1'],
    });
  });

  it('refuses a cluster without the snapshot API', async () => {
    const { cluster, volumes } = simulated();
    cluster.servesSnapshots = false;
    expect((await refusal(volumes.preflight(members, never))).code).toBe('SNAPSHOT_API_MISSING');
  });

  it('names a missing right, with a manifest to apply', async () => {
    const { cluster, volumes } = simulated();
    cluster.denied = ['create volumesnapshots'];
    const error = await refusal(volumes.preflight(members, never));
    expect(error.code).toBe('FORBIDDEN');
    expect(error.message).toContain('create volumesnapshots.snapshot.storage.k8s.io in shop');
    expect(error.hint).toContain(
      'kind: Role\nmetadata: { name: quiesce-snapshot, namespace: shop }',
    );
    expect(error.hint).toContain('verbs: [create]');
  });

  it('names the right where a read is refused', async () => {
    const { cluster, volumes } = simulated();
    cluster.intercept = (_, path) =>
      path.includes('/persistentvolumes/') ? status(403, 'cannot get resource') : undefined;
    const error = await refusal(volumes.preflight(members, never));
    expect(error.message).toContain('get persistentvolumes');
    expect(error.hint).toContain('kind: ClusterRole');
  });

  it('says that credentials have expired', async () => {
    const { cluster, volumes } = simulated();
    cluster.intercept = () => status(401);
    expect((await refusal(volumes.preflight(members, never))).hint).toContain('expired');
  });

  it('takes a volume that names another claim for unbound', async () => {
    const { cluster, volumes } = simulated();
    cluster.change('/api/v1/persistentvolumes/pv-shop-data-db-0', {
      spec: { claimRef: { uid: 'of-an-earlier-claim' } },
    });
    expect((await refusal(volumes.preflight(members, never))).code).toBe('CLAIM_NOT_BOUND');
  });

  it('falls back to single snapshots where only the rights for a group are missing', async () => {
    const { cluster, volumes } = withGroups();
    cluster.denied = ['patch persistentvolumeclaims'];
    const plan = await volumes.preflight(members, never);
    expect(plan.group).toBe(false);
    expect(codesOf(plan.notes)).toEqual(['GROUP_SNAPSHOT_FORBIDDEN']);
    expect(plan.notes[0]?.hint).toContain('verbs: [patch]');
  });
});

describe('a cut of single snapshots', () => {
  it('sees each as cut, labelled as pending, of the claims that were planned', async () => {
    const { cluster, volumes } = simulated();
    const plan = await volumes.preflight(members, never);
    const cut = await volumes.cut(RUN, plan, never);
    expect(cut.problems).toEqual([]);
    expect(cut.group).toBe(false);
    for (const one of cut.snapshots) {
      expect(one).toMatchObject({ cut: true, restoreSize: 2 ** 30 });
      expect(one.claimUid).toBe(plan.claims.find(({ claim }) => claim === one.claim)?.uid);
      expect(cluster.read(snapshotPath('shop', one.name))?.metadata?.labels).toEqual({
        'quiesce.dev/group': 'shop',
        'quiesce.dev/run': RUN.id,
        'quiesce.dev/verdict': 'pending',
      });
    }
  });

  it('is not seen before the content has a handle, and reports the driver’s own words', async () => {
    const { cluster, volumes } = simulated();
    cluster.onSnapshot = (one) => {
      cluster.bind(one, { error: { message: 'rpc error: code = Internal desc = throttled' } });
      cluster.change(contentPath(`content-${one.metadata?.uid}`), {
        status: { snapshotHandle: null },
      });
    };
    const cut = await volumes.cut(RUN, await volumes.preflight(members, never), soon());
    expect(cut.snapshots.map((one) => one.cut)).toEqual([false, false]);
    expect(codesOf(cut.problems)).toEqual(['NOT_CUT', 'NOT_CUT']);
    expect(cut.problems[0]?.message).toContain('throttled');
  });

  it('gives up at once on an error that the driver would repeat', async () => {
    const { cluster, volumes } = simulated();
    cluster.onSnapshot = (one) => {
      const error = { message: 'rpc error: code = InvalidArgument desc = unknown parameter' };
      cluster.change(snapshotPath('shop', one.metadata?.name ?? ''), { status: { error } });
    };
    const begun = performance.now();
    const cut = await volumes.cut(RUN, await volumes.preflight(members, never), soon(20_000));
    expect(performance.now() - begun).toBeLessThan(5_000);
    expect(codesOf(cut.problems)).toContain('SNAPSHOT_REFUSED');
  });

  it.each([
    [
      'is bound to a content of another snapshot',
      (c: SimulatedCluster, uid: string) =>
        c.change(contentPath(`content-${uid}`), {
          spec: { volumeSnapshotRef: { uid: 'another' } },
        }),
    ],
    [
      'is of another volume',
      (c: SimulatedCluster, uid: string) =>
        c.change(contentPath(`content-${uid}`), { spec: { source: { volumeHandle: 'other' } } }),
    ],
    [
      'is by another driver',
      (c: SimulatedCluster, uid: string) =>
        c.change(contentPath(`content-${uid}`), { spec: { driver: 'other' } }),
    ],
  ])('is no cut where it %s', async (_, spoil) => {
    const { cluster, volumes } = simulated();
    cluster.onSnapshot = (one) => {
      cluster.bind(one);
      spoil(cluster, one.metadata?.uid ?? '');
    };
    const cut = await volumes.cut(RUN, await volumes.preflight(members, never), soon(5_000));
    expect(codesOf(cut.problems)).toContain('SNAPSHOT_FOREIGN');
  });

  it('notices a snapshot that is deleted while it waits', async () => {
    const { cluster, volumes } = simulated();
    cluster.onSnapshot = (one) => {
      const name = one.metadata?.name ?? '';
      if (claimNameOf(one) === 'data-db-0')
        setTimeout(() => cluster.remove(snapshotPath('shop', name)), 50);
      else cluster.bind(one);
    };
    const cut = await volumes.cut(RUN, await volumes.preflight(members, never), soon(10_000));
    expect(codesOf(cut.problems)).toEqual(['SNAPSHOT_GONE']);
  });

  it('does not adopt a snapshot that has its name already', async () => {
    const { cluster, volumes } = simulated();
    const first = await volumes.cut(RUN, await volumes.preflight(members, never), never);
    const again = await volumes.cut(RUN, await volumes.preflight(members, never), soon(5_000));
    expect(first.problems).toEqual([]);
    expect(codesOf(again.problems)).toEqual(['NOT_CREATED', 'NOT_CREATED']);
    expect(cluster.all('volumesnapshots')).toHaveLength(2);
  });

  it('creates once where the answer of a create is lost', async () => {
    const { cluster, volumes } = simulated();
    const plan = await volumes.preflight(members, never);
    const real = cluster.send;
    let lost = 0;
    Object.assign(cluster, {
      send: async (...args: Parameters<typeof real>) => {
        const answer = await real(...args);
        if (args[0] === 'POST' && lost++ < 2) throw new Error('socket hang up');
        return answer;
      },
    });
    const cut = await volumes.cut(RUN, plan, soon(10_000));
    expect(cut.problems).toEqual([]);
    expect(cluster.all('volumesnapshots')).toHaveLength(2);
  });

  it('survives a short loss of the API server while it waits', async () => {
    const { cluster, volumes } = simulated();
    const plan = await volumes.preflight(members, never);
    let fails = 3;
    cluster.intercept = (method, path) => {
      if (method === 'GET' && path.includes('volumesnapshots') && fails-- > 0)
        throw new Error('ECONNRESET');
      return undefined;
    };
    expect((await volumes.cut(RUN, plan, soon(10_000))).problems).toEqual([]);
  });

  it('tells a quota from a missing right, and says what it said', async () => {
    const { cluster, volumes } = simulated();
    const plan = await volumes.preflight(members, never);
    cluster.intercept = (method) =>
      method === 'POST' ? status(403, 'exceeded quota: snaps') : undefined;
    const cut = await volumes.cut(RUN, plan, soon(5_000));
    expect(cut.problems[0]?.message).toContain('exceeded quota: snaps');
  });

  it('reads the claims after the cut, so that one that was replaced is known', async () => {
    const { cluster, volumes } = simulated();
    const plan = await volumes.preflight(members, never);
    const replaced = cluster.put('/api/v1/namespaces/shop/persistentvolumeclaims/data-db-0', {});
    const cut = await volumes.cut(RUN, plan, soon(5_000));
    const one = cut.snapshots.find(({ claim }) => claim === 'data-db-0');
    expect(one?.claimUid).toBe(replaced.metadata?.uid);
    expect(one?.claimUid).not.toBe(plan.claims[0]?.uid);
  });
});

describe('a group snapshot', () => {
  it('uses the newest served version, labels its members and unmarks the claims', async () => {
    const { cluster, volumes } = withGroups();
    const plan = await volumes.preflight(members, never);
    expect(plan.group).toBe(true);
    const cut = await volumes.cut(RUN, plan, soon(10_000));
    expect(cut.problems).toEqual([]);
    expect(cut.group).toBe(true);
    expect(cut.snapshots.map(({ claim, cut: seen }) => [claim, seen])).toEqual([
      ['data-db-0', true],
      ['data-cache-0', true],
    ]);
    const [group] = cluster.all('volumegroupsnapshots');
    expect(group?.apiVersion).toBe(`${GROUP_API}/v1beta2`);
    for (const one of cluster.all('volumesnapshots')) {
      expect(one.metadata?.labels?.['quiesce.dev/run']).toBe(RUN.id);
    }
    expect((await volumes.ready(cut, soon(10_000))).problems).toEqual([]);
    for (const one of cluster.all('persistentvolumeclaims'))
      expect(one.metadata?.labels ?? {}).toEqual({});
  });

  it('is not made where its label selects another claim, too', async () => {
    const { cluster, volumes } = withGroups();
    cluster.claim('shop', 'stranger', DRIVER, {
      metadata: { labels: { 'quiesce.dev/run': RUN.id } },
    });
    const cut = await volumes.cut(RUN, await volumes.preflight(members, never), soon(5_000));
    expect(codesOf(cut.problems)).toEqual(['GROUP_SELECTS_OTHERS']);
    expect(cut.problems[0]?.message).toContain('stranger');
    expect(cluster.all('volumegroupsnapshots')).toEqual([]);
  });

  it('is not made of a claim that was replaced since the plan', async () => {
    const { cluster, volumes } = withGroups();
    const plan = await volumes.preflight(members, never);
    cluster.put('/api/v1/namespaces/shop/persistentvolumeclaims/data-db-0', {});
    const cut = await volumes.cut(RUN, plan, soon(5_000));
    expect(codesOf(cut.problems)).toEqual(['CLAIM_NOT_MARKED']);
  });

  it('says which feature gate is missing where no controller takes it', async () => {
    const { cluster, volumes } = withGroups();
    cluster.onGroup = undefined;
    const cut = await volumes.cut(RUN, await volumes.preflight(members, never), soon());
    expect(codesOf(cut.problems)).toEqual(['NOT_CUT']);
    expect(cut.problems[0]?.hint).toContain('CSIVolumeGroupSnapshot=true');
    await volumes.discard(RUN);
    expect(cluster.all('volumegroupsnapshots')).toEqual([]);
    for (const one of cluster.all('persistentvolumeclaims'))
      expect(one.metadata?.labels ?? {}).toEqual({});
  });

  it('is incomplete where the driver left out a member', async () => {
    const { cluster, volumes } = withGroups();
    cluster.onGroup = (one) => {
      cluster.bindGroup(one);
      const [first] = cluster.all('volumesnapshots');
      cluster.remove(snapshotPath('shop', first?.metadata?.name ?? ''));
    };
    const cut = await volumes.cut(RUN, await volumes.preflight(members, never), soon(1_000));
    expect(codesOf(cut.problems)).toEqual(['GROUP_INCOMPLETE']);
    expect(cut.group).toBe(false);
  });

  it('is not wanted with groupSnapshots: false', async () => {
    const { volumes } = withGroups({ groupSnapshots: false });
    expect((await volumes.preflight(members, never)).group).toBe(false);
  });
});

describe('after the thaw', () => {
  it('waits until all are ready, and says which are not at the deadline', async () => {
    const { cluster, volumes } = simulated();
    cluster.onSnapshot = (one) => {
      cluster.bind(one, { readyToUse: false });
      const path = snapshotPath('shop', one.metadata?.name ?? '');
      if (claimNameOf(one) === 'data-db-0')
        setTimeout(() => cluster.change(path, { status: { readyToUse: true } }), 100);
    };
    const cut = await volumes.cut(RUN, await volumes.preflight(members, never), never);
    const ready = await volumes.ready(cut, soon(2_000));
    expect(ready.snapshots.map((one) => [one.claim, one.ready])).toEqual([
      ['data-db-0', true],
      ['data-cache-0', false],
    ]);
    expect(codesOf(ready.problems)).toEqual(['NOT_READY']);
  });

  it('does not take a snapshot for ready whose content is gone since the cut', async () => {
    const { cluster, volumes } = simulated();
    const cut = await volumes.cut(RUN, await volumes.preflight(members, never), never);
    cluster.remove(contentPath(`content-${cut.snapshots[0]?.uid}`));
    cluster.remove(snapshotPath('shop', cut.snapshots[1]?.name ?? ''));
    const ready = await volumes.ready(cut, soon(1_500));
    expect(ready.snapshots.map((one) => one.ready)).toEqual([false, false]);
    expect(codesOf(ready.problems)).toEqual(['NOT_READY', 'SNAPSHOT_GONE']);
  });
});
