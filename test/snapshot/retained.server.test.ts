import { describe, expect, it } from 'vitest';
import type { KubeObject } from '../../src/cluster/objects/kube-object.ts';
import { describeRun } from '../../src/cluster/snapshot/report/text.ts';
import { contentPath, snapshotPath } from '../cluster/snapshot/simulated-cluster.ts';
import { codes, type Shop, shop, snapshot } from './shop.ts';

const names = ({ api }: Shop, plural: string): readonly string[] =>
  api.cluster.all(plural).map(({ metadata }) => metadata?.name ?? '');

/** Binds each snapshot, and leaves the one of the cache without a handle. */
function half({ api: { cluster } }: Shop): void {
  cluster.onSnapshot = (one: KubeObject) => {
    cluster.bind(one);
    const { namespace = '', name = '', uid = '' } = one.metadata ?? {};
    if (!name.includes('cache')) return;
    cluster.change(contentPath(`content-${uid}`), { status: { snapshotHandle: null } });
    cluster.change(snapshotPath(namespace, name), { status: { readyToUse: false } });
  };
}

/** Makes the group and its members, and never says so: the run does not label them. */
function silent({ api: { cluster } }: Shop): void {
  cluster.onGroup = (one: KubeObject) => {
    cluster.bindGroup(one);
    const { namespace = '', name = '' } = one.metadata ?? {};
    const path = `/apis/groupsnapshot.storage.k8s.io/v1/namespaces/${namespace}/volumegroupsnapshots/${name}`;
    cluster.change(path, { status: null });
  };
}

describe('storage that a class retains', () => {
  it('is named by a run that failed, whose snapshots are deleted', async () => {
    const made = await shop();
    made.api.cluster.deletionPolicy = 'Retain';
    half(made);
    const { code, run } = await snapshot(made.api, ['--ttl', '2s']);
    expect([code, run.verdict, codes({ run })]).toEqual([
      6,
      'failed',
      ['RUN_TOO_LATE', 'NOT_CUT', 'STORAGE_RETAINED'],
    ]);
    expect(run.problems[0]?.message).toMatch(/not seen as cut: shop\/[^,]*cache[^,]*, before/);
    expect(names(made, 'volumesnapshots')).toEqual([]);
    const left = names(made, 'volumesnapshotcontents');
    expect(run.retained?.contents.toSorted()).toEqual(left.toSorted());
    expect(left).toHaveLength(2);
    expect(describeRun(run)).toContain('No VolumeSnapshot is kept, but 2 VolumeSnapshotContents');
  });

  it('is named also of a group snapshot whose members the run has not labelled yet', async () => {
    const made = await shop({ group: true });
    made.api.cluster.deletionPolicy = 'Retain';
    silent(made);
    const { run } = await snapshot(made.api, ['--ttl', '2s']);
    expect(run.problems[0]?.message).toMatch(/^These claims .* shop\/.*, shop\/.*, before/);
    expect(names(made, 'volumesnapshots')).toEqual([]);
    expect(run.retained?.contents).toHaveLength(2);
    expect(codes({ run })).toContain('STORAGE_RETAINED');
  });

  it('is not there, and nothing is said, where the class deletes', async () => {
    const made = await shop();
    half(made);
    const { run } = await snapshot(made.api, ['--ttl', '2s']);
    expect(codes({ run })).toEqual(['RUN_TOO_LATE', 'NOT_CUT']);
    expect(describeRun(run)).toContain('Nothing is kept.');
  });

  it('is named with the runs that --keep deleted, on stderr alone', async () => {
    const made = await shop({ group: true });
    made.api.cluster.deletionPolicy = 'Retain';
    const first = await snapshot(made.api);
    const old = [
      ...names(made, 'volumesnapshotcontents'),
      ...names(made, 'volumegroupsnapshotcontents'),
    ];
    const { code, run, stderr } = await snapshot(made.api, ['--keep', '1']);
    expect([code, run.kind]).toEqual([0, 'SnapshotRun']);
    expect(stderr).toContain(`Deleted ${first.run.id} (proven)`);
    expect(stderr).toContain('2 VolumeSnapshotContents and 1 VolumeGroupSnapshotContent stay');
    expect(old).toHaveLength(3);
    for (const name of old) expect(stderr).toMatch(new RegExp(`kubectl delete \\S+ ${name}\\n`));
  });
});
