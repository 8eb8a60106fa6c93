import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { addressesOf } from '../../../src/cluster/drill/addresses.ts';
import { ownNames } from '../../../src/cluster/drill/host-names.ts';
import { quotaFor, scratchNamespace } from '../../../src/cluster/drill/isolation.ts';
import { scratchName } from '../../../src/cluster/drill/marks.ts';
import { newestBackup } from '../../../src/cluster/drill/newest.ts';
import { copyOfConfig } from '../../../src/cluster/drill/references.ts';
import { standalone } from '../../../src/cluster/drill/standalone.ts';
import { judgementIn, podState } from '../../../src/cluster/drill/states.ts';
import { expired } from '../../../src/cluster/drill/sweep.ts';
import { Catalog } from '../../../src/cluster/inventory/catalog.ts';
import type { KubeObject } from '../../../src/cluster/objects/kube-object.ts';
import { livePod, MARKS } from './source-of-test.ts';

describe('names', () => {
  it('any namespace and group make a legal name of their own, of at most 63 letters', () => {
    const label = fc.stringMatching(/^[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?$/);
    fc.assert(
      fc.property(label, label, (namespace, group) => {
        const id = `${group.slice(0, 43)}-20261130030000-ab12`;
        const name = scratchName(namespace, { id, group });
        expect(name).toMatch(/^drill-[a-z0-9]([-a-z0-9]{0,56}[a-z0-9])?$/);
        expect(name.length).toBeLessThanOrEqual(63);
        expect(scratchName(namespace, { id: `${id.slice(0, -1)}3`, group })).not.toBe(name);
      }),
    );
  });
});

describe('isolation', () => {
  it('the scratch namespace allows pods what the source’s namespace did, and takes nothing else from it', () => {
    const like = {
      metadata: {
        name: 'shop',
        labels: {
          'pod-security.kubernetes.io/enforce': 'restricted',
          team: 'a',
          'istio-injection': 'enabled',
        },
        annotations: {
          'openshift.io/sa.scc.uid-range': '1000/1',
          'scheduler.alpha.kubernetes.io/node-selector': 'x',
        },
      },
    };
    const { metadata } = scratchNamespace('drill-shop', MARKS, like);
    expect(Object.keys(metadata?.labels ?? {})).toEqual([
      'pod-security.kubernetes.io/enforce',
      'quiesce.dev/drill',
      'app.kubernetes.io/managed-by',
      'velero.io/exclude-from-backup',
    ]);
    expect(Object.keys(metadata?.annotations ?? {})).toEqual([
      'openshift.io/sa.scc.uid-range',
      'quiesce.dev/expires',
    ]);
    // Under this label the webhook would hold back every pod.
    expect(metadata?.labels).not.toHaveProperty('quiesce.dev/restore');
  });

  it('no Service, Job or Ingress can be made there', () => {
    const hard = quotaFor('drill-shop', MARKS, { pods: 2, claims: 2 })['spec'] as { hard: object };
    expect(hard.hard).toMatchObject({ services: '0', 'count/jobs.batch': '0', pods: '3' });
  });

  it('production’s pods are what a copy must not reach: several pods before several ports', () => {
    const objects = ['a', 'b'].map((name, index) => ({
      ...livePod({}, name),
      status: { phase: 'Running', podIP: `10.0.0.${index}` },
    }));
    const catalog = new Catalog({ objects, scope: 'part', unexamined: [], now: 0 });
    expect(addressesOf(catalog, ['shop'])).toEqual([
      '10.0.0.0:5432',
      '10.0.0.1:5432',
      '10.0.0.0:9187',
      '10.0.0.1:9187',
    ]);
    expect(addressesOf(catalog, ['other'])).toEqual([]);
  });

  it('a token of the API server is never copied', () => {
    const token = {
      kind: 'Secret',
      type: 'kubernetes.io/service-account-token',
      data: { token: 'x' },
    };
    expect(copyOfConfig(token, 'scratch', MARKS)).toBeUndefined();
    const own = {
      kind: 'Secret',
      type: 'Opaque',
      data: { a: 'x' },
      metadata: { name: 'db', uid: 'u' },
    };
    expect(copyOfConfig(own, 'scratch', MARKS)).toMatchObject({
      metadata: { name: 'db', namespace: 'scratch' },
      data: { a: 'x' },
    });
  });
});

describe('what keeps a copy to itself', () => {
  const args = (engine: 'postgres' | 'redis' | 'mongodb', container: object) =>
    standalone(engine, { name: 'x', ...container }).container;

  it('postgres: with a command of its own, after its own flags', () => {
    const own = {
      image: 'team/pg',
      command: ['/usr/bin/postgres'],
      args: ['-c', 'archive_mode=on'],
    };
    expect(args('postgres', own).args?.slice(2)).toEqual([
      '-c',
      'archive_mode=off',
      '-c',
      'primary_conninfo=',
    ]);
  });

  it('an image whose entrypoint is not known gets nothing', () => {
    const own = { image: 'bitnami/postgresql:16' };
    expect(args('postgres', own)).toEqual({ name: 'x', ...own });
  });

  it('redis: no primary, no cluster', () => {
    const own = {
      image: 'redis:7',
      args: ['redis-server', '--replicaof', 'redis-0', '6379', '--appendonly', 'yes'],
    };
    expect(args('redis', own).args).toEqual([
      'redis-server',
      '--appendonly',
      'yes',
      '--cluster-enabled',
      'no',
    ]);
    expect(args('redis', { image: 'valkey/valkey:8' }).args?.[0]).toBe('valkey-server');
  });

  it('mongodb stays the member that it was', () => {
    const own = { image: 'mongo:7', command: ['mongod', '--replSet', 'rs'] };
    expect(args('mongodb', own)).toEqual({ name: 'x', ...own });
  });

  it('a script is left as it is, and said', () => {
    const own = { image: 'redis:7', command: ['sh', '-c', 'exec redis-server'] };
    expect(standalone('redis', { name: 'x', ...own })).toEqual({
      container: { name: 'x', ...own },
      shell: true,
    });
  });
});

describe('host names', () => {
  const spec: object = { hostname: 'mongo-1', subdomain: 'mongo' };
  const pod = { metadata: { namespace: 'docs' }, spec };
  const receipt = (...hosts: string[]) => ({
    restore: { set: { members: hosts.map((host) => ({ host })) } },
  });

  it('of the other members of its set it does not take the names', () => {
    const names = ownNames(pod, {
      name: 'mongo-1',
      receipt: receipt('mongo-0.db.example:27017', 'mongo-1.db.example:27017'),
    });
    expect(names).toContain('mongo-1.db.example');
    expect(names).not.toContain('mongo-0.db.example');
  });

  it('the only member is itself, whatever its name', () => {
    expect(ownNames(pod, { name: 'mongo-1', receipt: receipt('db.example.com:27017') })).toContain(
      'db.example.com',
    );
  });
});

describe('which backup is the newest', () => {
  const backup = (
    name: string,
    start: string,
    own: object = {},
    spec: object = {},
  ): KubeObject => ({
    metadata: { name },
    spec: { includedNamespaces: ['shop'], ...spec },
    status: { phase: 'Completed', startTimestamp: start, ...own },
  });
  it('of those that are Completed and hold all of the namespaces', () => {
    const all = [
      backup('old', '2026-11-28T00:00:00Z'),
      backup('whole', '2026-11-29T00:00:00Z', {}, { includedNamespaces: ['*'] }),
      backup('half', '2026-11-30T00:00:00Z', { phase: 'PartiallyFailed' }),
      backup('other', '2026-11-30T00:00:00Z', {}, { includedNamespaces: ['other'] }),
      backup(
        'without',
        '2026-11-30T00:00:00Z',
        {},
        { includedNamespaces: [], excludedNamespaces: ['shop'] },
      ),
    ];
    expect(newestBackup(all, ['shop'])?.metadata?.name).toBe('whole');
    expect(newestBackup(all, ['shop', 'queue'])?.metadata?.name).toBe('whole');
    expect(newestBackup([], ['shop'])).toBeUndefined();
  });
});

describe('what a sweep removes', () => {
  const of = (
    kind: string,
    id: string,
    expires: string | undefined,
    more: object = {},
  ): KubeObject => ({
    kind,
    metadata: {
      name: `${kind}-${id}`.toLowerCase(),
      labels: { 'quiesce.dev/drill': id },
      ...(expires !== undefined && { annotations: { 'quiesce.dev/expires': expires } }),
    },
    ...more,
  });
  const now = Date.parse('2026-11-30T12:00:00Z');

  it('drills whose time is over by all of their objects, with the namespaces of what is left', () => {
    const content = { spec: { volumeSnapshotRef: { namespace: 'drill-gone' } } };
    const objects = [
      of('Namespace', 'a', '2026-11-30T11:00:00Z'),
      of('VolumeSnapshotContent', 'a', '2026-11-30T11:00:00Z', content),
      of('Namespace', 'b', '2026-11-30T13:00:00Z'),
      of('Namespace', 'c', '2026-11-30T11:00:00Z'),
      of('PersistentVolume', 'c', '2026-11-30T13:00:00Z'),
    ];
    expect(expired(objects, now)).toEqual([{ id: 'a', namespaces: ['namespace-a', 'drill-gone'] }]);
  });

  it('nothing that does not say until when it is needed, or that is of no drill', () => {
    const objects = [
      of('Namespace', 'a', undefined),
      of('Namespace', 'b', 'soon'),
      of('Namespace', '', '2020-01-01T00:00:00Z'),
    ];
    expect(expired(objects, now)).toEqual([]);
    expect(expired(objects, Infinity)).toEqual([]);
  });
});

describe('how a copy stands', () => {
  const pod = (status: object): KubeObject => ({ status });
  const ended = (name: string, exitCode: number, restartCount = 0, message = 'why') => ({
    name,
    restartCount,
    state: { waiting: { reason: 'CrashLoopBackOff' } },
    lastState: { terminated: { exitCode, message } },
  });

  it('one that reached somebody ends the drill', () => {
    const seen = podState(pod({ initContainerStatuses: [ended('quiesce-isolated', 5)] }));
    expect(seen.phase).toBe('not-isolated');
  });

  it('one whose data prepare-restore refuses has failed at once, in its words', () => {
    const seen = podState(
      pod({
        initContainerStatuses: [ended('quiesce-prepare-restore', 7, 0, 'RESTORE_INCOMPLETE: x')],
      }),
    );
    expect(seen).toEqual({
      phase: 'failed',
      code: 'RESTORE_REFUSED',
      why: 'RESTORE_INCOMPLETE: x',
    });
  });

  it('a server that ends again and again has failed; once is not enough', () => {
    expect(podState(pod({ containerStatuses: [ended('postgres', 1, 1)] })).phase).toBe('waiting');
    expect(podState(pod({ containerStatuses: [ended('postgres', 1, 3)] }))).toMatchObject({
      phase: 'failed',
      code: 'CRASH_LOOP',
    });
  });

  it('one that somebody deleted has failed', () => {
    expect(podState(undefined)).toMatchObject({ phase: 'failed', code: 'POD_GONE' });
  });

  it('says which volume it waits for', () => {
    const conditions = [
      { type: 'PodScheduled', status: 'False', message: 'no node has data-db-0' },
    ];
    expect(podState(pod({ conditions }))).toEqual({
      phase: 'waiting',
      why: 'no node has data-db-0',
    });
  });

  it('is judged by its sidecar, and with the deep check not before that is done', () => {
    const restore = (content: string | undefined, own: object = {}) => ({
      restore: {
        id: 'r',
        level: 'position',
        checkedAt: 'x',
        message: 'm',
        ...(content && { content: { state: content } }),
        ...own,
      },
    });
    expect(judgementIn({ restore: null }, false)).toBeUndefined();
    expect(judgementIn(restore(undefined, { checkedAt: null }), false)).toBeUndefined();
    expect(judgementIn(restore('pending'), true)).toBeUndefined();
    expect(judgementIn(restore('pending'), false)).toMatchObject({
      level: 'position',
      receipt: 'r',
    });
    expect(judgementIn(restore('failed'), true)).toMatchObject({ content: 'failed' });
  });
});
