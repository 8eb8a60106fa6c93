import { describe, expect, it } from 'vitest';
import type { KubeObject } from '../../../src/cluster/inventory/catalog.ts';
import type { PlanMember } from '../../../src/cluster/plan/document.ts';
import { ObjectApi } from '../../../src/cluster/api/objects.ts';
import { ClusterVolumes } from '../../../src/cluster/snapshot/cluster-volumes.ts';
import { prune } from '../../../src/cluster/snapshot/prune.ts';
import { reportText } from '../../../src/cluster/snapshot/report-size.ts';
import { superfluous } from '../../../src/cluster/snapshot/reports.ts';
import { readRuns } from '../../../src/cluster/snapshot/runs.ts';
import type { SnapshotRun } from '../../../src/cluster/snapshot/document.ts';
import { runOf } from './runs-of-test.ts';
import { SimulatedCluster, snapshotPath } from './simulated-cluster.ts';

const DRIVER = 'rbd.csi.ceph.com';
const never = new AbortController().signal;
const here = { namespaces: ['shop'] };

const members = ['db', 'cache'].map((name): PlanMember => ({
  namespace: 'shop',
  kind: 'StatefulSet',
  name,
  stage: 'databases',
  from: 'image',
  priority: 'normal',
  protection: 'sidecar',
  pods: [`${name}-0`],
  claims: [`data-${name}-0`],
  after: [],
  dependsOn: [],
}));

function simulated({ grouped = false } = {}) {
  const cluster = new SimulatedCluster();
  for (const name of ['db', 'cache']) {
    const claim = `data-${name}-0`;
    cluster.claim('shop', claim, DRIVER);
    const spec = { volumes: [{ name: 'd', persistentVolumeClaim: { claimName: claim } }] };
    cluster.put(`/api/v1/namespaces/shop/pods/${name}-0`, { spec });
  }
  cluster.snapshotClass('rbd', DRIVER);
  if (grouped) {
    cluster.groupVersions = ['v1'];
    cluster.groupClass('group', DRIVER);
  }
  return { cluster, volumes: new ClusterVolumes(cluster, here) };
}

/** A run whose snapshots are all there and ready, not yet recorded. */
async function cutRun(volumes: ClusterVolumes, n = 1) {
  const run = { id: `shop-20261130t1803${String(n).padStart(2, '0')}z-ab12`, group: 'shop' };
  const cut = await volumes.cut(run, await volumes.preflight(members, never), never);
  return { run, cut: await volumes.ready(cut, never) };
}

async function made(volumes: ClusterVolumes, n: number, more: Partial<SnapshotRun> = {}) {
  const { run, cut } = await cutRun(volumes, n);
  const startedAt = new Date(Date.UTC(2026, 10, 30, 18, n)).toISOString();
  await volumes.record(runOf(run, cut, { startedAt, endedAt: startedAt, ...more }), cut);
  return run;
}

/** The labels of a run with another id. */
const labelsOf = (labels: object | undefined, id: string) => ({ ...labels, 'quiesce.dev/run': id });
const verdictOf = (one: KubeObject | undefined) => one?.metadata?.labels?.['quiesce.dev/verdict'];
const reportIn = (one: KubeObject | undefined) =>
  JSON.parse(
    (one?.['data'] as Record<string, string> | undefined)?.['report.json'] ?? '',
  ) as SnapshotRun;
const runsIn = (cluster: SimulatedCluster) => readRuns(new ObjectApi(cluster), here);

describe('the record of a run', () => {
  it('stands on each snapshot, with the receipt of the pod that mounts its claim, and in one ConfigMap', async () => {
    const { cluster, volumes } = simulated();
    const { run, cut } = await cutRun(volumes);
    await volumes.record(runOf(run, cut), cut);
    for (const one of cluster.all('volumesnapshots')) {
      expect(verdictOf(one)).toBe('proven');
      const receipt = JSON.parse(
        one.metadata?.annotations?.['quiesce.dev/receipt'] ?? '',
      ) as object;
      const claim = cut.snapshots.find(({ name }) => name === one.metadata?.name)?.claim;
      expect(receipt).toMatchObject({ pod: claim?.replace('data-', '') });
    }
    const [report, ...others] = cluster.all('configmaps');
    expect(others).toEqual([]);
    expect(report?.metadata?.labels).toMatchObject({
      'quiesce.dev/report': 'snapshot',
      'quiesce.dev/run': run.id,
      'quiesce.dev/verdict': 'proven',
    });
    expect(reportIn(report)).toEqual({ ...runOf(run, cut), home: 'shop' });
  });

  it.each([{ grouped: false }, { grouped: true }])(
    'never claims more than is true, wherever the verb is killed ($grouped)',
    async ({ grouped }) => {
      const writesOf = async (last: number) => {
        const { cluster, volumes } = simulated({ grouped });
        const { run, cut } = await cutRun(volumes);
        let writes = 0;
        // Once it is killed, no call reaches the server any more.
        cluster.intercept = (method) => {
          if (writes >= last) throw new Error('killed');
          if (method !== 'GET') writes += 1;
          return undefined;
        };
        const done = await volumes.record(runOf(run, cut), cut).then(
          () => true,
          () => false,
        );
        cluster.intercept = undefined;
        return { cluster, volumes, done };
      };
      for (let last = 0; ; last++) {
        const { cluster, volumes, done } = await writesOf(last);
        const [seen] = await runsIn(cluster);
        const [report] = cluster.all('configmaps');
        if (done) {
          expect(last).toBeGreaterThan(4);
          expect(seen?.verdict).toBe('proven');
          break;
        }
        expect(seen?.verdict, `${last} writes`).toBe('pending');
        expect(seen?.document.verdict).toBe('failed');
        if (report !== undefined) expect(reportIn(report).verdict).toBe('failed');
        const found = await volumes.sweep('shop');
        expect(found.map(({ code }) => code)).toEqual(['RUN_INTERRUPTED']);
        const all = ['volumesnapshots', 'volumegroupsnapshots', 'configmaps'].flatMap((kind) =>
          cluster.all(kind),
        );
        expect(new Set(all.map(verdictOf))).toEqual(new Set(['failed']));
        expect(await volumes.sweep('shop')).toEqual([]);
      }
    },
  );

  it('takes the verdict back where one of the snapshots is gone or another by now', async () => {
    for (const replace of [true, false]) {
      const { cluster, volumes } = simulated();
      const { run, cut } = await cutRun(volumes);
      const path = snapshotPath('shop', cut.snapshots[1]?.name ?? '');
      cluster.remove(path);
      if (replace) cluster.put(path, { spec: {} });
      await expect(volumes.record(runOf(run, cut), cut)).rejects.toMatchObject({
        code: 'RECORD_FAILED',
      });
      expect(cluster.all('volumesnapshots').map(verdictOf)).not.toContain('proven');
      expect((await runsIn(cluster))[0]?.verdict).not.toBe('proven');
    }
  });

  it('is written of an unproven run that has lost a snapshot', async () => {
    const { cluster, volumes } = simulated();
    const { run, cut } = await cutRun(volumes);
    cluster.remove(snapshotPath('shop', cut.snapshots[1]?.name ?? ''));
    await volumes.record(runOf(run, cut, { verdict: 'unproven' }), cut);
    expect(verdictOf(cluster.all('configmaps')[0])).toBe('unproven');
  });

  it('fits into a ConfigMap with 200 members, and says what was left out', () => {
    const cut = {
      run: { id: 'r', group: 'g' },
      group: false,
      problems: [],
      snapshots: Array.from({ length: 200 }, (_, index) => ({
        namespace: 'shop',
        name: `snap-${index}`,
        claim: `data-db-${index}`,
        ready: true,
        cut: true,
      })),
    };
    const run = runOf(cut.run, cut);
    const receipt = { long: 'x'.repeat(6_000) };
    const members = run.members.map((one) => ({
      ...one,
      receipt,
      receipts: [{ pod: 'p', receipt }],
    }));
    const text = reportText({ ...run, members });
    expect(Buffer.byteLength(text)).toBeLessThan(900 * 1024);
    const parsed = JSON.parse(text) as SnapshotRun;
    expect(parsed.members).toHaveLength(200);
    expect(parsed.verdict).toBe('proven');
    expect(parsed.shortened).toContain('receipts');
    expect(JSON.parse(reportText(run))).toEqual(run);
  });

  it('keeps the newest reports and the last proven one', () => {
    const report = (day: number, verdict: string): KubeObject => {
      const creationTimestamp = `2026-11-0${day}T00:00:00Z`;
      const labels = { 'quiesce.dev/verdict': verdict };
      const metadata = { name: `r-${day}`, labels, creationTimestamp };
      return { metadata };
    };
    const reports = [
      report(1, 'proven'),
      report(2, 'proven'),
      report(3, 'failed'),
      report(4, 'failed'),
    ];
    expect(superfluous(reports, 1).map(({ metadata }) => metadata?.name)).toEqual(['r-3', 'r-1']);
  });
});

describe('runs on record', () => {
  it('are rebuilt from their snapshots where the ConfigMap is gone', async () => {
    const { cluster, volumes } = simulated();
    const run = await made(volumes, 1);
    const name = cluster.all('configmaps')[0]?.metadata?.name ?? '';
    cluster.remove(`/api/v1/namespaces/shop/configmaps/${name}`);
    const [seen] = await runsIn(cluster);
    expect(seen).toMatchObject({
      id: run.id,
      group: 'shop',
      verdict: 'unproven',
      bytes: 2 * 2 ** 30,
    });
    expect(seen?.document.members.map((one) => [one.name, one.receipt?.['pod']])).toEqual([
      ['data-db-0', 'db-0'],
      ['data-cache-0', 'cache-0'],
    ]);
    expect(seen?.document.problems.map(({ code }) => code)).toEqual(['REPORT_GONE']);
  });

  it('count no snapshot that only has the labels of a run', async () => {
    const { cluster, volumes } = simulated();
    const run = await made(volumes, 1);
    const [own] = cluster.all('volumesnapshots');
    const put = (name: string, id: string) =>
      cluster.put(snapshotPath('shop', name), {
        ...own,
        metadata: { name, namespace: 'shop', labels: labelsOf(own?.metadata?.labels, id) },
      });
    put('joined', run.id);
    put('alone', 'shop-20261130T120000Z-beef');
    const seen = await runsIn(cluster);
    expect(
      seen
        .map(({ id, verdict }) => [id.slice(-4), verdict])
        .toSorted(([a = ''], [b = '']) => a.localeCompare(b)),
    ).toEqual([
      ['ab12', 'proven'],
      ['beef', 'unproven'],
    ]);
    expect(seen.find(({ id }) => id === run.id)?.bytes).toBe(2 * 2 ** 30);
  });

  it.each([
    ['is being deleted', { metadata: { deletionTimestamp: '2026-11-30T19:00:00Z' } }],
    ['is another object', { metadata: { uid: 'another' } }],
    ['is no longer ready', { status: { readyToUse: false } }],
  ])('are no longer proven once a snapshot %s', async (words, change) => {
    const { cluster, volumes } = simulated();
    await made(volumes, 1);
    const path = snapshotPath('shop', cluster.all('volumesnapshots')[0]?.metadata?.name ?? '');
    cluster.change(path, change);
    const [seen] = await runsIn(cluster);
    expect(seen?.verdict).toBe('failed');
    expect(seen?.document.problems[0]?.message).toContain(words);
  });

  it('are none where their report was copied to', async () => {
    const { cluster, volumes } = simulated();
    await made(volumes, 1);
    const [report] = cluster.all('configmaps');
    const { name = '', labels } = report?.metadata ?? {};
    cluster.put(`/api/v1/namespaces/copy/configmaps/${name}`, {
      ...report,
      metadata: { name, namespace: 'copy', labels },
    });
    const read = (namespaces: readonly string[] | undefined) =>
      readRuns(new ObjectApi(cluster), { namespaces });
    expect(await read(['copy'])).toEqual([]);
    expect((await read(undefined)).map(({ verdict }) => verdict)).toEqual(['proven']);
    const rules = { dryRun: false, now: Date.UTC(2027, 0, 1), keepForMs: 1 };
    await prune(cluster, { namespaces: ['copy'] }, rules);
    expect(cluster.all('volumesnapshots')).toHaveLength(2);
  });

  it('without snapshots are as old as they say, if that is older than their report', async () => {
    const { cluster, volumes } = simulated();
    const { run } = await cutRun(volumes, 1);
    await volumes.discard(run);
    const old = { verdict: 'failed', startedAt: '2026-11-01T00:00:00.000Z' } as const;
    await volumes.record(runOf(run, undefined, old), undefined);
    expect((await runsIn(cluster))[0]?.createdAt).toBe(old.startedAt);
  });

  it('are no longer proven once a snapshot is gone', async () => {
    const { cluster, volumes } = simulated();
    await made(volumes, 1);
    cluster.remove(snapshotPath('shop', cluster.all('volumesnapshots')[0]?.metadata?.name ?? ''));
    const [seen] = await runsIn(cluster);
    expect(seen?.verdict).toBe('failed');
    expect(seen?.document.problems.map(({ code }) => code)).toEqual(['SNAPSHOT_GONE']);
  });

  it('survive a report that is no report, and are not proven by it', async () => {
    const { cluster, volumes } = simulated();
    await made(volumes, 1);
    const name = cluster.all('configmaps')[0]?.metadata?.name ?? '';
    const whole = reportIn(cluster.all('configmaps')[0]);
    const [member] = whole.members;
    const damaged = [
      { ...whole, members: [] },
      { ...whole, problems: [null] },
      { ...whole, members: [{ ...member, snapshots: [null] }] },
      {
        ...whole,
        members: [{ ...member, snapshots: [{ ...member?.snapshots[0], restoreSize: 'x' }] }],
      },
      { ...whole, id: 'another' },
    ].map((one) => JSON.stringify(one));
    for (const text of ['', '{"kind":"SnapshotRun"}', '[]', 'null', ...damaged]) {
      cluster.change(`/api/v1/namespaces/shop/configmaps/${name}`, {
        data: { 'report.json': text },
      });
      const [seen] = await runsIn(cluster);
      expect(seen?.document.members).toHaveLength(2);
      expect([text, seen?.verdict, seen?.document.problems[0]?.code]).toEqual([
        text,
        'failed',
        'REPORT_DAMAGED',
      ]);
    }
  });
});

describe('pruning', () => {
  const rules = { dryRun: false, now: Date.UTC(2026, 11, 1) };

  it('deletes whole runs, failed ones first, and never the last proven one', async () => {
    const { cluster, volumes } = simulated();
    const proven = await made(volumes, 1);
    const failed = await made(volumes, 2, { verdict: 'failed' });
    const unproven = await made(volumes, 3, { verdict: 'unproven' });
    const pruned = await prune(cluster, here, { ...rules, keep: 2 });
    expect(pruned.deleted.map(({ id }) => id)).toEqual([failed.id]);
    expect((await runsIn(cluster)).map(({ id }) => id)).toEqual([unproven.id, proven.id]);
    await prune(cluster, here, { ...rules, keep: 1, keepForMs: 1 });
    expect((await runsIn(cluster)).map(({ verdict }) => verdict)).toEqual(['unproven', 'proven']);
    expect(cluster.all('volumesnapshots')).toHaveLength(4);
  });

  it('goes by the API server’s clock: a run made by a command whose clock was ahead is not the newest', async () => {
    const { cluster, volumes } = simulated();
    const startedAt = new Date(Date.UTC(2026, 10, 30, 19, 30)).toISOString();
    const ahead = await made(volumes, 1, { startedAt });
    const newest = await made(volumes, 2);
    expect((await runsIn(cluster)).map(({ id }) => id)).toEqual([newest.id, ahead.id]);
    const pruned = await prune(cluster, here, { ...rules, keep: 1 });
    expect(pruned.deleted.map(({ id }) => id)).toEqual([ahead.id]);
  });

  it('changes nothing with --dry-run', async () => {
    const { cluster, volumes } = simulated();
    await made(volumes, 1);
    await made(volumes, 2);
    const calls = cluster.calls.length;
    const pruned = await prune(cluster, here, { ...rules, keep: 1, dryRun: true });
    expect(pruned.deleted).toHaveLength(1);
    expect(cluster.calls.slice(calls).filter((call) => !call.startsWith('GET'))).toEqual([]);
  });

  it.each([{ grouped: false }, { grouped: true }])(
    'leaves no half of a run that says it is proven, wherever it is killed ($grouped)',
    async ({ grouped }) => {
      for (let last = 0; ; last++) {
        const { cluster, volumes } = simulated({ grouped });
        const old = await made(volumes, 1);
        await made(volumes, 2);
        let writes = 0;
        cluster.intercept = (method) => {
          if (writes >= last) throw new Error('killed');
          if (method !== 'GET') writes += 1;
          return undefined;
        };
        const done = await prune(cluster, here, { ...rules, keep: 1 }).then(
          () => true,
          () => false,
        );
        cluster.intercept = undefined;
        const seen = (await runsIn(cluster)).find(({ id }) => id === old.id);
        if (last > 0 && !done) expect(seen?.verdict, `${last} writes`).not.toBe('proven');
        await prune(cluster, here, { ...rules, keep: 1 });
        expect((await runsIn(cluster)).map(({ verdict }) => verdict)).toEqual(['proven']);
        expect(cluster.all('volumesnapshots')).toHaveLength(2);
        expect(cluster.all('volumegroupsnapshots')).toHaveLength(grouped ? 1 : 0);
        if (done) break;
      }
    },
  );

  it('names the contents that their class retains', async () => {
    const { cluster, volumes } = simulated();
    await made(volumes, 1);
    const kept = cluster.all('volumesnapshotcontents').map(({ metadata }) => metadata?.name ?? '');
    for (const name of kept) {
      cluster.change(`/apis/snapshot.storage.k8s.io/v1/volumesnapshotcontents/${name}`, {
        spec: { deletionPolicy: 'Retain' },
      });
    }
    await made(volumes, 2);
    const pruned = await prune(cluster, here, { ...rules, keep: 1 });
    expect(pruned.retained.toSorted()).toEqual(kept.toSorted());
  });

  it('keeps the last proven run of each application, also where two have a group of one name', async () => {
    const { cluster, volumes } = simulated();
    await made(volumes, 1);
    for (const one of [...cluster.all('volumesnapshots'), ...cluster.all('configmaps')]) {
      const { name = '', labels } = one.metadata ?? {};
      const path =
        one['data'] === undefined
          ? snapshotPath('other', name)
          : `/api/v1/namespaces/other/configmaps/${name}`;
      const moved = Object.fromEntries(
        Object.entries(labels ?? {}).map(([key, value]) => [key, value.replace('ab12', 'cd34')]),
      );
      cluster.put(path, { ...one, metadata: { name, namespace: 'other', labels: moved } });
    }
    await made(volumes, 2);
    const everywhere = { namespaces: undefined };
    const pruned = await prune(cluster, everywhere, { ...rules, keep: 1 });
    expect(pruned.kept.map(({ id }) => id.slice(-4)).toSorted()).toEqual(['ab12', 'cd34']);
  });
});

describe('a run that failed', () => {
  it('is discarded with all that it cut, and nothing else', async () => {
    for (const grouped of [true, false]) {
      const { cluster, volumes } = simulated({ grouped });
      const kept = await made(volumes, 1);
      const { run } = await cutRun(volumes, 2);
      await volumes.discard(run);
      expect((await runsIn(cluster)).map(({ id }) => id)).toEqual([kept.id]);
      expect(cluster.all('volumesnapshots')).toHaveLength(2);
      expect(cluster.all('volumegroupsnapshots')).toHaveLength(grouped ? 1 : 0);
      const late = { startedAt: new Date().toISOString() };
      await volumes.record(runOf(run, undefined, { verdict: 'failed', ...late }), undefined);
      expect((await runsIn(cluster)).map(({ verdict }) => verdict)).toEqual(['failed', 'proven']);
    }
  });

  it('is found by the sweep of its own group alone', async () => {
    const { cluster, volumes } = simulated();
    await cutRun(volumes);
    expect(await volumes.sweep('another')).toEqual([]);
    expect(cluster.all('volumesnapshots').map(verdictOf)).toEqual(['pending', 'pending']);
    expect((await volumes.sweep('shop'))[0]?.message).toContain('2 snapshots');
  });

  it('is left alone by a run that another Lease keeps apart', async () => {
    for (const grouped of [true, false]) {
      const { cluster, volumes } = simulated({ grouped });
      const run = { id: 'shop-20261130t180301z-ab12', group: 'shop' };
      await volumes.cut(run, await volumes.preflight(members, never), never);
      const options = { namespaces: ['shop'], leaseNamespace: 'elsewhere' };
      expect(await new ClusterVolumes(cluster, options).sweep('shop')).toEqual([]);
      expect(cluster.all('volumesnapshots').map(verdictOf)).toEqual(['pending', 'pending']);
      const marked = () =>
        cluster
          .all('persistentvolumeclaims')
          .filter((one) => one.metadata?.labels?.['quiesce.dev/run']);
      expect(marked()).toHaveLength(grouped ? 2 : 0);
      expect(await volumes.sweep('shop')).toHaveLength(1);
      expect(marked()).toEqual([]);
    }
  });
});
