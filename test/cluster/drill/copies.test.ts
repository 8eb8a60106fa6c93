import { describe, expect, it } from 'vitest';
import { configsOf, planCopies } from '../../../src/cluster/drill/copies.ts';
import { at, listAt, textAt } from '../../../src/cluster/objects/kube-object.ts';
import type { Pod } from '../../../src/cluster/objects/pod.ts';
import { manifestsOf } from '../../../src/cluster/restore/volumes/manifests.ts';
import {
  claim,
  livePod,
  MARKS,
  ORDER,
  SIDECAR,
  sourceOf,
  statefulSet,
  volume,
} from './source-of-test.ts';

const shop = sourceOf([statefulSet(), livePod(), claim('data-db-0')], [volume('data-db-0')]);

function onlyPod(source = shop, order = ORDER): Pod {
  const { copies } = planCopies(source, order);
  const [copy] = copies;
  if (copy === undefined || copies.length !== 1) throw new Error(`${copies.length} copies`);
  return copy.pod;
}

describe('the copy of a pod', () => {
  const pod = onlyPod();
  const text = JSON.stringify(pod);

  it('is of the scratch namespace, of the same name, and marked as the drill’s', () => {
    expect(pod.metadata).toMatchObject({
      name: 'db-0',
      namespace: 'drill-shop-20261130030000-ab12',
      labels: { 'quiesce.dev/drill': MARKS.id, 'velero.io/exclude-from-backup': 'true' },
      annotations: { 'quiesce.dev/expires': MARKS.expires, 'quiesce.dev/restore-name': MARKS.id },
    });
  });

  it('has its database and our sidecar, of the images of the source, and nothing else', () => {
    const images = pod.spec?.containers?.map(({ name, image }) => `${name} ${image}`);
    expect(images).toEqual(['postgres postgres:17', `quiesce ${SIDECAR}`]);
  });

  it('first proves that it reaches nobody, then fills what the database reads, then prepares it', () => {
    const inits = pod.spec?.initContainers ?? [];
    expect(inits.map(({ name }) => name)).toEqual([
      'quiesce-isolated',
      'render',
      'quiesce-prepare-restore',
    ]);
    expect(inits[0]?.args).toEqual(['isolated', '--for', '2s', '--within', '30s', '10.0.0.7:5432']);
  });

  it('holds no token, no name of others, no hooks, no probes and no priority', () => {
    expect(pod.spec).toMatchObject({
      automountServiceAccountToken: false,
      dnsPolicy: 'None',
      dnsConfig: { nameservers: ['127.0.0.1'] },
    });
    for (const word of [
      'serviceaccount/token',
      'serviceAccountToken',
      'db-admin',
      'primary.prod',
      'production-critical',
      'velero.io/command',
      'prometheus.io',
      'team.example',
      'readinessProbe',
      'postStart',
      'hostPort',
      'hostNetwork',
      'podAntiAffinity',
      'node-1',
      'wait-for-etcd',
      'nfs.prod',
      'quiesce.dev/inject"',
    ]) {
      expect(text, word).not.toContain(word);
    }
    expect(pod.spec?.containers?.[0]).not.toHaveProperty('livenessProbe');
  });

  it('takes its claim, and an empty folder where production’s own storage was', () => {
    const volumes = new Map(pod.spec?.volumes?.map((one) => [one.name, one]));
    expect(textAt(volumes.get('data'), 'persistentVolumeClaim', 'claimName')).toBe('data-db-0');
    expect(volumes.get('archive')).toEqual({ name: 'archive', emptyDir: {} });
    expect(volumes.has('kube-api-access-x')).toBe(false);
  });

  it('says what differs from the source', () => {
    const { copies } = planCopies(shop, ORDER);
    expect(copies[0]?.notes).toEqual([
      'Its volumes archive are empty in the copy.',
      'Its init containers wait-for-etcd did not run.',
    ]);
  });

  it('archives nothing and follows no primary', () => {
    expect(pod.spec?.containers?.[0]?.args).toEqual([
      'postgres',
      '-c',
      'archive_mode=off',
      '-c',
      'primary_conninfo=',
    ]);
  });

  it('finds itself under the names that it had, so that it is the same member of its set', () => {
    const [alias] = listAt(pod.spec, 'hostAliases');
    expect(at(alias, 'ip')).toBe('127.0.0.1');
    expect(listAt(alias, 'hostnames')).toEqual([
      'db-0',
      'db-0.db',
      'db-0.db.shop',
      'db-0.db.shop.svc',
      'db-0.db.shop.svc.cluster.local',
    ]);
  });

  it('asks for the deep check where the drill does', () => {
    const deep = onlyPod(shop, { ...ORDER, check: 'content' });
    const env = deep.spec?.containers?.[1]?.env;
    expect(env).toContainEqual({ name: 'QUIESCE_RESTORE_CHECK', value: 'content' });
  });

  it('needs the Secrets and ConfigMaps that it names', () => {
    expect(configsOf(planCopies(shop, ORDER))).toEqual([
      { kind: 'Secret', name: 'db', namespace: 'shop' },
    ]);
  });
});

describe('which pods are copied', () => {
  it('every replica: each has a copy of its own', () => {
    const pods = ['db-0', 'db-1'].map((name) => livePod({}, name));
    const names = ['data-db-0', 'data-db-1'];
    const source = sourceOf(
      [statefulSet(2), ...pods, ...names.map(claim)],
      names.map((one) => volume(one)),
    );
    expect(planCopies(source, ORDER).copies.map(({ pod }) => pod.metadata?.name)).toEqual([
      'db-0',
      'db-1',
    ]);
  });

  it('a workload that runs no pod now, by its template and the claims that it had', () => {
    const source = sourceOf([statefulSet(0)], [volume('data-db-0'), volume('data-db-10')]);
    const { copies } = planCopies(source, ORDER);
    expect(copies.map(({ pod, claims }) => `${pod.metadata?.name} ${claims.join()}`)).toEqual([
      'db-0 data-db-0',
      'db-10 data-db-10',
    ]);
  });

  it('a claim without a snapshot is a doubt, not silence', () => {
    const source = sourceOf([statefulSet(), livePod(), claim('data-db-0')], [], {
      without: ['shop/data-db-0'],
    });
    const { members, copies } = planCopies(source, ORDER);
    expect(copies).toEqual([]);
    expect(members[0]?.doubts.map(({ code }) => code)).toEqual(['VOLUME_NOT_IN_SOURCE']);
  });

  it('a pod without a sidecar is not started, and not proven', () => {
    const bare = livePod({
      containers: [
        {
          name: 'postgres',
          image: 'postgres:17',
          volumeMounts: [{ name: 'data', mountPath: '/var/lib/postgresql/data' }],
        },
      ],
    });
    const unlabelled = { ...bare, metadata: { ...bare.metadata, labels: { app: 'db' } } };
    const source = sourceOf([statefulSet(), unlabelled, claim('data-db-0')], [volume('data-db-0')]);
    const { members, copies } = planCopies(source, ORDER);
    expect(copies).toEqual([]);
    expect(members[0]?.doubts[0]?.message).toContain('it has no sidecar');
  });
});

describe('what is made of the storage', () => {
  it('stands for the same snapshot, keeps it, and carries the marks', () => {
    const [one] = planCopies(shop, ORDER).volumes;
    if (one === undefined) throw new Error('no volume');
    const { content, snapshot, claim: made } = manifestsOf(one.volume, one.target, one.claims);
    expect(content).toMatchObject({
      metadata: {
        labels: { 'quiesce.dev/drill': MARKS.id },
        annotations: { 'quiesce.dev/expires': MARKS.expires },
      },
      spec: { deletionPolicy: 'Retain', source: { snapshotHandle: 'handle-data-db-0' } },
    });
    expect(snapshot?.metadata?.namespace).toBe('drill-shop-20261130030000-ab12');
    expect(made).toMatchObject({
      metadata: {
        name: 'data-db-0',
        labels: { 'quiesce.dev/drill': MARKS.id, 'velero.io/exclude-from-backup': 'true' },
      },
      spec: { storageClassName: 'ssd' },
    });
  });
});
