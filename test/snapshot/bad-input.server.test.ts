import { describe, expect, it } from 'vitest';
import { codes, heldBy, labels, type Shop, shop, snapshot, start } from './shop.ts';

const CLAIM = '/api/v1/namespaces/shop/persistentvolumeclaims/data-db-0';
const VOLUME = '/api/v1/persistentvolumes/pv-shop-data-db-0';
/** The verb as a user runs it: an error on stdout, nothing frozen, nothing created. */
async function refused(made: Shop, args: readonly string[] = []) {
  const { code: exit, body, stderr } = await snapshot(made.api, args);
  const { error } = body as { error?: { code: string; message: string; hint: string } };
  expect(Object.keys(body as object), JSON.stringify(body)).toEqual(['error']);
  expect(heldBy(made)).toEqual([0, 0]);
  expect(made.db.engine.calls).not.toContain('hold');
  expect(made.api.cluster.all('volumesnapshots')).toEqual([]);
  expect(made.api.cluster.all('configmaps')).toEqual([]);
  return { exit, code: error?.code, text: `${error?.message} ${error?.hint}`, stderr };
}

describe('a snapshot refuses, before anything is frozen,', () => {
  it('a namespace that does not exist', async () => {
    const found = await refused(await shop(), ['-n', 'nowhere']);
    expect(found).toMatchObject({ exit: 2, code: 'USAGE', stderr: '' });
    expect(found.text).toContain('no namespace nowhere');
  });

  it('a namespace for the Lease that does not exist, and names it', async () => {
    const found = await refused(await shop(), ['--lease-namespace', 'nope']);
    expect(found).toMatchObject({ exit: 2, code: 'USAGE' });
    expect(found.text).toMatch(/no namespace nope.*--lease-namespace/);
  });

  it('a lease that is longer than a sidecar allows, and two classes for one driver', async () => {
    const long = await refused(await shop(), ['--ttl', '100h']);
    expect(long).toMatchObject({ exit: 2, code: 'INVALID_FIELD' });
    expect(long.text).toMatch(/StatefulSet\/db .*at most 1h, and --ttl is 100h.*QUIESCE_TTL_MAX/);
    const classes = ['--snapshot-class', 'a=b', '--snapshot-class', 'a=c'];
    expect(await refused(await shop(), classes)).toMatchObject({ exit: 2, code: 'USAGE' });
  });

  it('an application without members, and one whose members have no claims', async () => {
    const made = await shop();
    made.api.cluster.put('/api/v1/namespaces/empty', {});
    const none = await refused(made, ['--selector', 'app=nobody']);
    expect(none).toMatchObject({ exit: 2, code: 'NO_MEMBERS' });
    for (const name of ['db', 'cache']) {
      made.api.cluster.remove(`/apis/apps/v1/namespaces/shop/statefulsets/${name}`);
      made.api.cluster.remove(`/api/v1/namespaces/shop/pods/${name}-0`);
    }
    const spec = { template: { spec: { containers: [{ name: 'web', image: 'nginx:1' }] } } };
    made.api.cluster.put('/apis/apps/v1/namespaces/shop/deployments/web', { spec });
    expect(await refused(made)).toMatchObject({ exit: 2, code: 'NO_VOLUMES' });
  });

  it('a member with claims and no sidecar, with pods or without', async () => {
    const made = await shop();
    made.api.member('files', made.db, { sidecar: false, engine: 'nginx' });
    const found = await refused(made);
    expect(found).toMatchObject({ exit: 2, code: 'MEMBER_WITHOUT_SIDECAR' });
    expect(found.text).toContain('StatefulSet/files');
    expect(found.text).toContain('quiesce.dev/freeze: none');
    made.api.cluster.remove('/api/v1/namespaces/shop/pods/files-0');
    expect(await refused(made)).toMatchObject({ exit: 2, code: 'MEMBER_WITHOUT_SIDECAR' });
  });

  it('a sidecar that does not run', async () => {
    const made = await shop();
    const status = { phase: 'Running', containerStatuses: [] };
    made.api.cluster.change('/api/v1/namespaces/shop/pods/db-0', { status });
    expect(await refused(made)).toMatchObject({ exit: 3, code: 'MEMBER_NOT_READY' });
  });

  it('a claim that is gone, is not bound, or is being deleted', async () => {
    const made = await shop();
    made.api.cluster.change(CLAIM, { status: { phase: 'Pending' } });
    expect(await refused(made)).toMatchObject({ exit: 2, code: 'CLAIM_NOT_BOUND' });
    made.api.cluster.change(CLAIM, {
      status: { phase: 'Bound' },
      metadata: { deletionTimestamp: '2026-01-01T00:00:00Z' },
    });
    expect(await refused(made)).toMatchObject({ exit: 2, code: 'CLAIM_NOT_BOUND' });
    made.api.cluster.remove(CLAIM);
    const gone = await refused(made);
    expect(gone).toMatchObject({ exit: 2, code: 'CLAIM_NOT_BOUND' });
    expect(gone.text).toContain('no claim data-db-0');
  });

  it('a claim without a snapshot class, and names the driver', async () => {
    const made = await shop();
    made.api.cluster.remove('/apis/snapshot.storage.k8s.io/v1/volumesnapshotclasses/snap');
    made.api.cluster.snapshotClass('other', 'other.example.org');
    const found = await refused(made);
    expect(found).toMatchObject({ exit: 2, code: 'CLAIM_WITHOUT_CLASS' });
    expect(found.text).toContain('rbd.csi.ceph.com');
    const chosen = await refused(made, ['--snapshot-class', 'rbd.csi.ceph.com=nowhere']);
    expect(chosen.text).toContain('nowhere');
  });

  it('a volume that is none of a CSI driver', async () => {
    const made = await shop();
    made.api.cluster.change(VOLUME, { spec: { csi: null, nfs: { server: 'x', path: '/' } } });
    const found = await refused(made);
    expect(found).toMatchObject({ exit: 2, code: 'VOLUME_NOT_SNAPSHOTTABLE' });
    expect(found.text).toContain('nfs');
  });

  it('several classes of one driver, until one is chosen', async () => {
    const made = await shop();
    made.api.cluster.snapshotClass('second', 'rbd.csi.ceph.com');
    const found = await refused(made);
    expect(found).toMatchObject({ exit: 2, code: 'SNAPSHOT_CLASS_AMBIGUOUS' });
    expect(found.text).toContain('--snapshot-class DRIVER=CLASS');
    const chosen = await snapshot(made.api, ['--snapshot-class', 'rbd.csi.ceph.com=second']);
    expect([chosen.code, codes(chosen)]).toEqual([0, []]);
  });

  it('parameters that the driver refuses', async () => {
    const made = await shop({ driver: 'ebs.csi.aws.com' });
    const parameters = { fsFreeze: 'true' };
    made.api.cluster.snapshotClass('snap', 'ebs.csi.aws.com', { parameters });
    const found = await refused(made);
    expect(found).toMatchObject({ exit: 2, code: 'SNAPSHOT_CLASS_PARAMETERS' });
    expect(found.text).toContain('fsFreeze');
  });

  it('a cluster without the snapshot API', async () => {
    const made = await shop();
    made.api.cluster.servesSnapshots = false;
    expect(await refused(made)).toMatchObject({ exit: 2, code: 'SNAPSHOT_API_MISSING' });
  });

  it.each(['create volumesnapshots', 'patch volumesnapshots', 'create configmaps'])(
    'the lack of the right to %s, with a manifest that grants it',
    async (right) => {
      const made = await shop();
      made.api.cluster.denied = [right];
      const found = await refused(made);
      const [verb = '', resource = ''] = right.split(' ');
      expect(found).toMatchObject({ exit: 3, code: 'FORBIDDEN' });
      expect(found.text).toContain('kind: Role\n');
      expect(found.text).toMatch(new RegExp(`resources: \\[${resource}\\], verbs: \\[${verb}\\]`));
    },
  );

  it.each(['pods', 'persistentvolumeclaims', 'statefulsets', 'leases'])(
    'the lack of the right to read %s, which would hide members',
    async (plural) => {
      const made = await shop();
      made.api.cluster.intercept = (method, path) =>
        method === 'GET' && path.includes(`/${plural}`)
          ? {
              status: 403,
              body: {
                message: `User "dev" cannot list resource "${plural}" in the namespace "shop"`,
              },
            }
          : undefined;
      const found = await refused(made);
      expect(found).toMatchObject({ exit: 3, code: 'FORBIDDEN' });
      expect(found.text).toContain(plural);
      expect(found.text).toContain('kind: Role\n');
    },
  );

  it('credentials that have expired, and an API server that is away', async () => {
    const made = await shop();
    made.api.cluster.intercept = () => ({ status: 401, body: { message: 'Unauthorized' } });
    const expired = await refused(made);
    expect(expired).toMatchObject({ exit: 3, code: 'CLUSTER_UNREACHABLE' });
    expect(expired.text).toMatch(/401.*expired/);
    made.api.cluster.intercept = undefined;
    made.api.broken = () => true;
    expect(await refused(made)).toMatchObject({ exit: 3, code: 'CLUSTER_UNREACHABLE' });
    const nowhere = await refused(made, ['--context', 'nowhere']);
    expect(nowhere).toMatchObject({ exit: 3, code: 'CLUSTER_UNREACHABLE' });
  });

  it('a run while another is under way', async () => {
    const made = await shop();
    made.api.cluster.onSnapshot = () => undefined;
    const first = start(made.api);
    await expect.poll(() => labels(made).length, { timeout: 20_000 }).toBe(2);
    const { code, body } = await snapshot(made.api);
    expect([code, body.error.code]).toEqual([4, 'RUN_UNDER_WAY']);
    expect(heldBy(made)).toEqual([1, 1]);
    first.child.kill('SIGTERM');
    await first.ended;
  });

  it('bad flags, as every verb does', async () => {
    const made = await shop();
    for (const args of [['--keep', '0'], ['-A'], ['--snapshot-class', 'x'], ['--nonsense']]) {
      expect(await refused(made, args), args.join(' ')).toMatchObject({ exit: 2, code: 'USAGE' });
    }
  });
});

describe('a snapshot finds the way', () => {
  it('to two drivers, each with its class', async () => {
    const made = await shop();
    made.api.cluster.snapshotClass('ebs', 'ebs.csi.aws.com');
    made.api.cluster.change(VOLUME, { spec: { csi: { driver: 'ebs.csi.aws.com' } } });
    const ended = await snapshot(made.api);
    expect([ended.code, codes(ended)]).toEqual([0, []]);
    const classes = made.api.cluster
      .all('volumesnapshots')
      .map((one) => (one['spec'] as { volumeSnapshotClassName: string }).volumeSnapshotClassName);
    expect(classes.toSorted()).toEqual(['ebs', 'snap']);
  });

  it('to a sidecar that listens on no port, by exec', async () => {
    const made = await shop();
    const env = [{ name: 'QUIESCE_CONTROL_ADDR', value: 'off' }];
    made.api.member('db', made.db, { env });
    const streams: string[] = [];
    made.api.watch = (method, what) => void (method === 'STREAM' && streams.push(what));
    const ended = await snapshot(made.api);
    expect([ended.code, codes(ended)]).toEqual([0, []]);
    const own = streams.filter((one) => one.endsWith('db-0'));
    expect(new Set(own)).toEqual(new Set(['exec db-0']));
  });
});

describe('what a restore does not bring back', () => {
  it('is an error of the plan where it was declared as kept, and stops no snapshot', async () => {
    const made = await shop();
    const path = '/apis/apps/v1/namespaces/shop/statefulsets/db';
    made.api.cluster.change(path, {
      metadata: { annotations: { 'quiesce.dev/state': 'scratch=keep' } },
    });
    const pod = '/api/v1/namespaces/shop/pods/db-0';
    const { spec } = made.api.cluster.read(pod) as unknown as {
      spec: { volumes: object[]; containers: { volumeMounts?: object[] }[] };
    };
    const volumes = [...spec.volumes, { name: 'scratch', emptyDir: {} }];
    const containers = spec.containers.map((one) => ({
      ...one,
      volumeMounts: [...(one.volumeMounts ?? []), { name: 'scratch', mountPath: '/srv' }],
    }));
    made.api.cluster.change(pod, { spec: { volumes, containers } });
    const plan = await start(made.api, ['--fail-on', 'error'], 'plan').ended;
    expect(plan.code).toBe(7);
    const { problems } = plan.body as { problems: { code: string }[] };
    expect(problems.map(({ code }) => code)).toContain('STATE_CANNOT_BE_KEPT');
    const ended = await snapshot(made.api);
    expect([ended.code, ended.run.verdict, codes(ended)]).toEqual([0, 'proven', []]);
  });
});
