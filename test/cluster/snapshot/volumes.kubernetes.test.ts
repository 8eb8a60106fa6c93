import { execFile } from 'node:child_process';
import { setTimeout as sleep } from 'node:timers/promises';
import { promisify } from 'node:util';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { connect, type ClusterConnection } from '../../../src/cluster/api/reader.ts';
import { type KubeObject, textAt } from '../../../src/cluster/objects/kube-object.ts';
import { ClusterVolumes } from '../../../src/cluster/snapshot/cluster-volumes.ts';
import { cliPath } from '../../../src/testbed/processes.ts';
import { type ControlPlane, startControlPlane } from '../../support/kubernetes.ts';
import {
  boundClaim,
  CLAIMS,
  CONTENTS,
  defineSnapshotKinds,
  GROUPS,
  playGroup,
  playSnapshot,
  removeClaim,
  SNAPSHOTS,
} from '../../support/snapshot-controllers.ts';
import { MEMBERS, runOf } from './runs-of-test.ts';

const DRIVER = 'rbd.csi.ceph.com';
const RBAC = '/apis/rbac.authorization.k8s.io/v1';
const CLASSES = '/apis/snapshot.storage.k8s.io/v1/volumesnapshotclasses';
const GROUP_CLASSES = '/apis/groupsnapshot.storage.k8s.io/v1beta2/volumegroupsnapshotclasses';

/** What the volume side may do, and no more. */
const rules = (without = '') =>
  [
    ['', 'persistentvolumeclaims', ['list', 'patch']],
    ['', 'pods', ['list']],
    ['', 'persistentvolumes', ['get']],
    ['', 'configmaps', ['create', 'get', 'list', 'patch', 'delete']],
    ['coordination.k8s.io', 'leases', ['get', 'create', 'patch']],
    ['storage.k8s.io', 'storageclasses', ['list']],
    ['snapshot.storage.k8s.io', 'volumesnapshots', ['create', 'get', 'list', 'patch', 'delete']],
    ['snapshot.storage.k8s.io', 'volumesnapshotcontents', ['get']],
    ['snapshot.storage.k8s.io', 'volumesnapshotclasses', ['list']],
    [
      'groupsnapshot.storage.k8s.io',
      'volumegroupsnapshots',
      ['create', 'get', 'list', 'patch', 'delete'],
    ],
    ['groupsnapshot.storage.k8s.io', 'volumegroupsnapshotcontents', ['get']],
    ['groupsnapshot.storage.k8s.io', 'volumegroupsnapshotclasses', ['list']],
  ].map(([group, resource, verbs]) => ({
    apiGroups: [group],
    resources: [resource],
    verbs: (verbs as string[]).filter((verb) => `${verb} ${String(resource)}` !== without),
  }));

let plane: ControlPlane;
let connection: ClusterConnection;
let kubeconfig: string;
let count = 0;

beforeAll(async () => {
  plane = await startControlPlane();
  await plane.namespace('shop');
  await defineSnapshotKinds(plane);
  await plane.must('POST', CLASSES, {
    apiVersion: 'snapshot.storage.k8s.io/v1',
    kind: 'VolumeSnapshotClass',
    metadata: { name: 'rbd' },
    driver: DRIVER,
    deletionPolicy: 'Delete',
  });
  await plane.must('POST', `${RBAC}/clusterroles`, { metadata: { name: 'cut' }, rules: rules() });
  await plane.must('POST', `${RBAC}/clusterrolebindings`, {
    metadata: { name: 'cut' },
    roleRef: { apiGroup: 'rbac.authorization.k8s.io', kind: 'ClusterRole', name: 'cut' },
    subjects: [{ apiGroup: 'rbac.authorization.k8s.io', kind: 'User', name: 'webhook' }],
  });
  kubeconfig = await plane.kubeconfig('webhook');
  connection = connect({ kubeconfig });
  for (const name of ['data-db-0', 'data-cache-0']) await boundClaim(plane, name, DRIVER);
}, 600_000);

afterAll(() => plane?.stop());

const player = {
  alive: false,
  spoil: undefined as ((one: KubeObject) => Promise<boolean>) | undefined,
};
let playing: Promise<void> = Promise.resolve();

afterEach(async () => {
  player.alive = false;
  player.spoil = undefined;
  await playing;
});

/** Plays the controllers until the test ends. `spoil` says that it has dealt with a snapshot itself. */
function playControllers(spoil?: (one: KubeObject) => Promise<boolean>): void {
  player.alive = true;
  player.spoil = spoil;
  playing = (async () => {
    const known = new Set<string>();
    while (player.alive) {
      for (const [path, play] of [
        [GROUPS, playGroup],
        [SNAPSHOTS, playSnapshot],
      ] as const) {
        const { items } = await plane.must<{ items: KubeObject[] }>('GET', path);
        for (const one of items) {
          const uid = one.metadata?.uid ?? '';
          if (known.has(uid) || one['status'] !== undefined) continue;
          known.add(uid);
          if (path === SNAPSHOTS && (await player.spoil?.(one)) === true) continue;
          await play(plane, one);
        }
      }
      await sleep(50);
    }
  })();
}

const soon = (ms = 20_000): AbortSignal => AbortSignal.timeout(ms);

function nextRun() {
  count += 1;
  const run = { id: `shop-20261130t1803${String(count).padStart(2, '0')}z-ab12`, group: 'shop' };
  return { run, volumes: new ClusterVolumes(connection, { namespaces: ['shop'] }) };
}

async function snapshots(...args: readonly string[]): Promise<string> {
  const line = [cliPath(), 'snapshots', '-n', 'shop', ...args];
  const env = { PATH: process.env['PATH'] ?? '', KUBECONFIG: kubeconfig };
  return (await promisify(execFile)(process.execPath, line, { env })).stdout;
}

describe('on a real API server', () => {
  it('cuts, waits, records, lists, shows and prunes, with no more than its rights', async () => {
    playControllers();
    const ids: string[] = [];
    for (const verdict of ['proven', 'failed', 'proven'] as const) {
      const { run, volumes } = nextRun();
      ids.push(run.id);
      const plan = await volumes.preflight(MEMBERS, soon());
      const cut = await volumes.ready(await volumes.cut(run, plan, soon()), soon());
      expect(cut.problems).toEqual([]);
      expect(cut.snapshots.map((one) => [one.cut, one.ready, one.restoreSize])).toEqual([
        [true, true, 2 ** 30],
        [true, true, 2 ** 30],
      ]);
      const startedAt = new Date().toISOString();
      await volumes.record(runOf(run, cut, { verdict, startedAt, endedAt: startedAt }), cut);
      await sleep(20);
    }
    const list = JSON.parse(await snapshots('-o', 'json')) as {
      items: { id: string; verdict: string }[];
    };
    expect(list.items.map(({ id, verdict }) => [id, verdict])).toEqual([
      [ids[2], 'proven'],
      [ids[1], 'failed'],
      [ids[0], 'proven'],
    ]);
    expect(await snapshots()).toMatch(/^RUN .*MEMBERS\nshop-.* proven +\d+s +2 GiB +2\n/);
    expect(await snapshots(ids[0] ?? '')).toContain('✔ proven');
    await expect(snapshots('shop-nothing')).rejects.toMatchObject({ code: 2 });
    expect(await snapshots('--prune', '--keep', '2', '--dry-run')).toContain(
      `Would delete ${ids[1]}`,
    );
    expect(await snapshots('--prune', '--keep', '1')).toContain(`Deleted ${ids[0]}`);
    const { items } = await plane.must<{ items: KubeObject[] }>('GET', SNAPSHOTS);
    expect(new Set(items.map(({ metadata }) => metadata?.labels?.['quiesce.dev/run']))).toEqual(
      new Set([ids[2]]),
    );
  });

  it('reports what the driver says, and a snapshot that is deleted in between', async () => {
    playControllers(async (one) => {
      const path = `${SNAPSHOTS}/${one.metadata?.name ?? ''}`;
      if (textAt(one, 'spec', 'source', 'persistentVolumeClaimName') === 'data-db-0') {
        const message = 'rpc error: code = ResourceExhausted desc = no space left in the pool';
        await plane.must('PATCH', `${path}/status`, { status: { error: { message } } });
        return true;
      }
      await sleep(300);
      await plane.must('DELETE', path);
      return true;
    });
    const { run, volumes } = nextRun();
    const cut = await volumes.cut(run, await volumes.preflight(MEMBERS, soon()), soon(5_000));
    expect(cut.problems.map(({ code }) => code)).toEqual(['SNAPSHOT_GONE']);
    const late = nextRun();
    player.spoil = async (one) => {
      const message = 'rpc error: code = ResourceExhausted desc = no space left in the pool';
      const path = `${SNAPSHOTS}/${one.metadata?.name ?? ''}/status`;
      await plane.must('PATCH', path, { status: { error: { message } } });
      return true;
    };
    const plan = await late.volumes.preflight(MEMBERS, soon());
    const uncut = await late.volumes.cut(late.run, plan, soon(3_000));
    expect(uncut.problems.map(({ code }) => code)).toEqual(['NOT_CUT', 'NOT_CUT']);
    expect(uncut.problems[0]?.message).toContain('no space left in the pool');
    await late.volumes.discard(late.run);
    await volumes.discard(run);
    expect(
      (
        await plane.must<{ items: KubeObject[] }>(
          'GET',
          `${SNAPSHOTS}?labelSelector=quiesce.dev/run%3D${run.id}`,
        )
      ).items,
    ).toEqual([]);
  });

  it('knows a claim that was replaced between plan and cut, and marks the run it left as failed', async () => {
    playControllers();
    const { run, volumes } = nextRun();
    const plan = await volumes.preflight(MEMBERS, soon());
    await removeClaim(plane, 'data-cache-0');
    const uid = await boundClaim(plane, 'data-cache-0', DRIVER);
    const cut = await volumes.cut(run, plan, soon());
    // The volume is another one, too: the cut of it is not the cut that was planned.
    expect(cut.problems.map(({ code }) => code)).toEqual(['SNAPSHOT_FOREIGN']);
    expect(cut.snapshots.find(({ claim }) => claim === 'data-cache-0')?.claimUid).toBe(uid);
    const found = await nextRun().volumes.sweep('shop');
    expect(found.map(({ code }) => code)).toEqual(['RUN_INTERRUPTED']);
    expect(found[0]?.message).toContain(run.id);
  });

  it('names the right that is missing before it creates anything', async () => {
    await plane.must('PUT', `${RBAC}/clusterroles/cut`, {
      metadata: { name: 'cut' },
      rules: rules('create volumesnapshots'),
    });
    const { volumes } = nextRun();
    const refused = async (): Promise<unknown> =>
      await volumes.preflight(MEMBERS, soon()).catch((error: unknown) => error);
    await expect.poll(refused).toMatchObject({
      code: 'FORBIDDEN',
      message: 'The credentials may not create volumesnapshots.snapshot.storage.k8s.io in shop.',
    });
    await plane.must('PUT', `${RBAC}/clusterroles/cut`, {
      metadata: { name: 'cut' },
      rules: rules(),
    });
    await expect.poll(refused).toMatchObject({ group: false });
  });
});

describe('a group snapshot on a real API server', () => {
  beforeAll(async () => {
    await plane.must('POST', GROUP_CLASSES, {
      apiVersion: 'groupsnapshot.storage.k8s.io/v1beta2',
      kind: 'VolumeGroupSnapshotClass',
      metadata: { name: 'group' },
      driver: DRIVER,
      deletionPolicy: 'Delete',
    });
  });

  it('holds all claims, is recorded, and leaves no label on them', async () => {
    playControllers();
    const { run, volumes } = nextRun();
    const plan = await volumes.preflight(MEMBERS, soon());
    expect(plan.group).toBe(true);
    const cut = await volumes.cut(run, plan, soon());
    expect(cut.problems).toEqual([]);
    expect(cut.group).toBe(true);
    const ready = await volumes.ready(cut, soon());
    await volumes.record(runOf(run, ready), ready);
    const { items } = await plane.must<{ items: KubeObject[] }>('GET', GROUPS);
    expect(items.map(({ metadata }) => metadata?.labels?.['quiesce.dev/verdict'])).toEqual([
      'proven',
    ]);
    const claims = await plane.must<{ items: KubeObject[] }>('GET', CLAIMS);
    for (const { metadata } of claims.items) expect(metadata?.labels ?? {}).toEqual({});
    await volumes.discard(run);
    expect((await plane.must<{ items: KubeObject[] }>('GET', GROUPS)).items).toEqual([]);
  });

  it('is not made where its label is on another claim already', async () => {
    playControllers();
    const { run, volumes } = nextRun();
    await boundClaim(plane, 'stranger', DRIVER);
    await plane.must('PATCH', `${CLAIMS}/stranger`, {
      metadata: { labels: { 'quiesce.dev/run': run.id } },
    });
    const cut = await volumes.cut(run, await volumes.preflight(MEMBERS, soon()), soon());
    expect(cut.problems.map(({ code }) => code)).toEqual(['GROUP_SELECTS_OTHERS']);
    expect((await plane.must<{ items: KubeObject[] }>('GET', GROUPS)).items).toEqual([]);
    await removeClaim(plane, 'stranger');
    await volumes.discard(run);
    expect((await plane.call('GET', CONTENTS)).status).toBe(200);
  });
});
