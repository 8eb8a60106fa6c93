import { describe, expect, it } from 'vitest';
import type { KubeObject } from '../../../../src/cluster/objects/kube-object.ts';
import { copiesOf, type CopyOptions } from '../../../../src/cluster/restore/objects/copies.ts';
import { oldNames } from '../../../../src/cluster/restore/objects/old-names.ts';

const RUN = 'shop-20261201000000-cd34';
const into = (to: string, more: Partial<CopyOptions> = {}): CopyOptions => ({
  id: RUN,
  namespaces: new Map([['shop', to]]),
  withIngress: false,
  given: false,
  volumes: new Set(['shop/data-db-0']),
  ...more,
});
const object = (
  kind: string,
  name: string,
  more: object = {},
  metadata: object = {},
): KubeObject => ({
  apiVersion: 'v1',
  kind,
  metadata: { name, namespace: 'shop', uid: `uid-${name}`, ...metadata },
  ...more,
});
const ownedBy = (kind: string, name: string, apiVersion = 'apps/v1') => ({
  ownerReferences: [{ apiVersion, kind, name, uid: 'u', controller: true }],
});
const namesOf = (objects: readonly KubeObject[]): readonly string[] =>
  objects.map(({ kind, metadata }) => `${kind}/${metadata?.name}`);
const copy = (one: KubeObject, to = 'shop-2', more: Partial<CopyOptions> = {}): KubeObject => {
  const [found] = copiesOf([one], into(to, more)).objects;
  if (found === undefined) throw new Error('it was left out');
  return found;
};

describe('what is created anew', () => {
  it('is what a user has made, in the order in which it is needed', () => {
    const all = [
      object('Ingress', 'web', { apiVersion: 'networking.k8s.io/v1' }),
      object('StatefulSet', 'db', { apiVersion: 'apps/v1' }),
      object('Pod', 'db-0', {}, ownedBy('StatefulSet', 'db')),
      object('ReplicaSet', 'web-1', { apiVersion: 'apps/v1' }, ownedBy('Deployment', 'web')),
      object('Deployment', 'web', { apiVersion: 'apps/v1' }),
      object('Pod', 'alone', { status: { phase: 'Running' } }),
      object('Pod', 'done', { status: { phase: 'Succeeded' } }),
      object('Job', 'old', {
        apiVersion: 'batch/v1',
        status: { conditions: [{ type: 'Complete', status: 'True' }] },
      }),
      object('Job', 'tonight', { apiVersion: 'batch/v1' }, ownedBy('CronJob', 'c', 'batch/v1')),
      object('Secret', 'login', { data: { password: 'cA==' } }),
      object('Secret', 'token', { type: 'kubernetes.io/service-account-token' }),
      object('ConfigMap', 'kube-root-ca.crt'),
      object('ConfigMap', 'settings'),
      object('ServiceAccount', 'runner', { secrets: [{ name: 'runner-token' }] }),
      object('PersistentVolumeClaim', 'data-db-0'),
      object('PersistentVolumeClaim', 'cache'),
      object('EndpointSlice', 'db-x', { apiVersion: 'discovery.k8s.io/v1' }),
      object('ConfigMap', 'elsewhere', {}, { namespace: 'other' }),
    ];
    const { objects } = copiesOf(all, into('shop'));
    expect(namesOf(objects)).toEqual([
      'ServiceAccount/runner',
      'Secret/login',
      'ConfigMap/settings',
      'PersistentVolumeClaim/cache',
      'StatefulSet/db',
      'Deployment/web',
      'Pod/alone',
      'Ingress/web',
    ]);
    expect(namesOf(copiesOf(all, into('shop-2')).objects)).not.toContain('Ingress/web');
    const open = copiesOf(all, into('shop-2', { withIngress: true })).objects;
    expect(namesOf(open)).toContain('Ingress/web');
  });

  it('has nothing that belonged to the one object', () => {
    const made = copy(
      object(
        'ConfigMap',
        'settings',
        { data: { a: '1' }, status: { x: 1 } },
        {
          resourceVersion: '7',
          finalizers: ['x/y'],
          managedFields: [],
          labels: { app: 'db', 'velero.io/restore-name': 'monday' },
          annotations: {
            note: 'mine',
            'kubectl.kubernetes.io/last-applied-configuration': '{}',
            'meta.helm.sh/release-namespace': 'shop',
          },
        },
      ),
    );
    expect(made).toEqual({
      apiVersion: 'v1',
      kind: 'ConfigMap',
      metadata: {
        name: 'settings',
        namespace: 'shop-2',
        labels: { app: 'db', 'quiesce.dev/restore': RUN },
        annotations: { note: 'mine', 'meta.helm.sh/release-namespace': 'shop-2' },
      },
      data: { a: '1' },
    });
  });

  it('keeps the credentials that the data knows, whoever made them', () => {
    const cluster = object('Cluster', 'db', { apiVersion: 'postgresql.cnpg.io/v1' });
    const owner = ownedBy('Cluster', 'db', 'postgresql.cnpg.io/v1');
    const all = [
      cluster,
      object('Secret', 'db-app', {}, owner),
      object('Service', 'db-rw', {}, owner),
    ];
    expect(namesOf(copiesOf(all, into('shop-2')).objects)).toEqual(['Secret/db-app', 'Cluster/db']);
    // Nobody would make the Service of an owner that is not restored.
    expect(namesOf(copiesOf(all.slice(1), into('shop-2')).objects)).toContain('Service/db-rw');
  });

  it('says which custom resources it leaves out, and takes them from manifests', () => {
    const odd = object('Widget', 'w', { apiVersion: 'acme.example/v1' });
    const left = copiesOf([odd], into('shop-2'));
    expect([left.objects, left.problems[0]?.code]).toEqual([[], 'KIND_NOT_RESTORED']);
    expect(copiesOf([odd], into('shop-2', { given: true })).objects).toHaveLength(1);
  });
});

describe('fields', () => {
  it('a Service gets its own addresses, and elsewhere no way in from the outside', () => {
    const service = object('Service', 'web', {
      spec: {
        type: 'LoadBalancer',
        clusterIP: '10.0.0.7',
        clusterIPs: ['10.0.0.7'],
        healthCheckNodePort: 31_000,
        externalTrafficPolicy: 'Local',
        loadBalancerIP: '192.0.2.1',
        ports: [{ port: 80, nodePort: 30_080 }],
      },
    });
    expect(copy(service)['spec']).toEqual({ type: 'ClusterIP', ports: [{ port: 80 }] });
    expect(copy(service, 'shop')['spec']).toEqual({
      type: 'LoadBalancer',
      externalTrafficPolicy: 'Local',
      loadBalancerIP: '192.0.2.1',
      ports: [{ port: 80 }],
    });
    const headless = object('Service', 'db', { spec: { clusterIP: 'None', clusterIPs: ['None'] } });
    expect(copy(headless)['spec']).toEqual({ clusterIP: 'None' });
  });

  it('a CronJob is suspended and marked, unless it was suspended', () => {
    const cron = (suspend: boolean) =>
      object('CronJob', 'c', { apiVersion: 'batch/v1', spec: { suspend } });
    const running = copy(cron(false));
    expect([running['spec'], running.metadata?.annotations]).toEqual([
      { suspend: true },
      { 'quiesce.dev/restore-suspended': RUN },
    ]);
    expect(copy(cron(true)).metadata).not.toHaveProperty('annotations');
  });

  it('namespaces are mapped where fields name them', () => {
    const binding = object('RoleBinding', 'b', {
      apiVersion: 'rbac.authorization.k8s.io/v1',
      subjects: [
        { kind: 'ServiceAccount', name: 'a', namespace: 'shop' },
        { kind: 'ServiceAccount', name: 'm', namespace: 'monitoring' },
      ],
    });
    expect(copy(binding)['subjects']).toMatchObject([
      { namespace: 'shop-2' },
      { namespace: 'monitoring' },
    ]);
    const key = 'kubernetes.io/metadata.name';
    const policy = object('NetworkPolicy', 'p', {
      apiVersion: 'networking.k8s.io/v1',
      spec: {
        podSelector: { matchLabels: { name: 'shop' } },
        ingress: [
          { from: [{ namespaceSelector: { matchLabels: { [key]: 'shop' } } }] },
          {
            from: [
              {
                namespaceSelector: {
                  matchExpressions: [{ key, operator: 'In', values: ['shop', 'x'] }],
                },
              },
            ],
          },
        ],
      },
    });
    expect(copy(policy)['spec']).toEqual({
      podSelector: { matchLabels: { name: 'shop' } },
      ingress: [
        { from: [{ namespaceSelector: { matchLabels: { [key]: 'shop-2' } } }] },
        {
          from: [
            {
              namespaceSelector: {
                matchExpressions: [{ key, operator: 'In', values: ['shop-2', 'x'] }],
              },
            },
          ],
        },
      ],
    });
  });

  it('a pod without a controller is bound to no node, and an unfinished Job gets its own selector', () => {
    const pod = object('Pod', 'alone', {
      spec: {
        nodeName: 'n1',
        volumes: [{ name: 'kube-api-access-x' }, { name: 'data' }],
        containers: [
          { name: 'c', volumeMounts: [{ name: 'kube-api-access-x' }, { name: 'data' }] },
        ],
      },
    });
    expect(copy(pod)['spec']).toEqual({
      volumes: [{ name: 'data' }],
      containers: [{ name: 'c', volumeMounts: [{ name: 'data' }] }],
    });
    const job = object('Job', 'j', {
      apiVersion: 'batch/v1',
      spec: {
        selector: { matchLabels: { 'controller-uid': 'u' } },
        template: { metadata: { labels: { app: 'j', 'batch.kubernetes.io/controller-uid': 'u' } } },
      },
    });
    expect(copy(job)['spec']).toEqual({ template: { metadata: { labels: { app: 'j' } } } });
  });

  it('Endpoints come along only for a Service without a selector, and only where they are', () => {
    const service = object('Service', 'db', { spec: { ports: [{ port: 5432 }] } });
    const written = object('Endpoints', 'db', { subsets: [] });
    expect(namesOf(copiesOf([service, written], into('shop')).objects)).toContain('Endpoints/db');
    expect(namesOf(copiesOf([service, written], into('shop-2')).objects)).not.toContain(
      'Endpoints/db',
    );
    const selecting = object('Service', 'db', { spec: { selector: { app: 'db' } } });
    expect(namesOf(copiesOf([selecting, written], into('shop')).objects)).toEqual(['Service/db']);
  });
});

describe('names of the original', () => {
  const service = object('Service', 'db');
  const namespaces = new Map([['shop', 'shop-2']]);
  const value = (text: string): string => Buffer.from(text).toString('base64');

  it.each([
    [
      'a ConfigMap',
      object('ConfigMap', 'c', { data: { url: 'postgres://db.shop.svc:5432/x' } }),
      'db.shop.svc',
    ],
    ['the short form', object('ConfigMap', 'c', { data: { host: 'db.shop' } }), 'db.shop'],
    [
      'an argument',
      object('Pod', 'p', {
        spec: { containers: [{ args: ['--host=db-0.db.shop.svc.cluster.local'] }] },
      }),
      'db-0.db.shop.svc.cluster.local',
    ],
    [
      'a Secret, of which only the host is shown',
      object('Secret', 's', { data: { url: value('postgres://app:hunter2@db.shop.svc/x') } }),
      'db.shop.svc',
    ],
    [
      'a Service that nobody listed',
      object('ConfigMap', 'c', { data: { q: 'queue.shop.svc' } }),
      'queue.shop.svc',
    ],
  ])('are found in %s', (_what, one, host) => {
    const [problem, ...others] = oldNames([one], [service], namespaces);
    expect([problem?.code, others]).toEqual(['NAMES_THE_ORIGINAL', []]);
    expect(problem?.message).toContain(`It names ${host}:`);
    expect(problem?.message).not.toContain('hunter2');
  });

  it.each(['db', 'db.shopping.example', 'mydb.shop-2.svc', 'https://shop.example/db', 'db.shop-2'])(
    'are not seen in %s',
    (text) => {
      const one = object('ConfigMap', 'c', { data: { text } });
      expect(oldNames([one], [service], namespaces)).toEqual([]);
    },
  );

  it('are none where the namespace stays', () => {
    const one = object('ConfigMap', 'c', { data: { host: 'db.shop.svc' } });
    expect(oldNames([one], [service], new Map([['shop', 'shop']]))).toEqual([]);
  });
});
