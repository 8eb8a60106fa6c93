import { describe, expect, it } from 'vitest';
import type { KubeObject } from '../../../src/cluster/objects/kube-object.ts';
import {
  configMapsMadeBy,
  KNOWN,
  knownResource,
  secretsMadeBy,
} from '../../../src/cluster/plan/custom-resources.ts';
import { lostByResource } from '../../../src/cluster/plan/resources/lost.ts';

function resource(
  apiVersion: string,
  kind: string,
  spec: object = {},
  more: object = {},
): KubeObject {
  return { apiVersion, kind, metadata: { name: 'a', ...more }, spec };
}

function known(object: KubeObject) {
  const found = knownResource(object);
  if (found === undefined || found === 'unknown') throw new Error(`${object.kind} is not known`);
  return found;
}

describe('the table of custom resources', () => {
  it('has each kind once', () => {
    const all = KNOWN.map(({ group, kind }) => `${group}/${kind}`);
    expect(new Set(all).size).toBe(all.length);
  });

  it.each([
    ['postgresql.cnpg.io/v1', 'Cluster', 'databases', 'postgres', 'a-rw'],
    ['postgresql.cnpg.io/v1', 'Pooler', 'databases', 'pgbouncer', 'a'],
    ['acid.zalan.do/v1', 'postgresql', 'databases', 'postgres', 'a-repl'],
    [
      'postgres-operator.crunchydata.com/v1beta1',
      'PostgresCluster',
      'databases',
      'postgres',
      'a-primary',
    ],
    ['pgv2.percona.com/v2', 'PerconaPGCluster', 'databases', 'postgres', 'a-pgbouncer'],
    [
      'pxc.percona.com/v1',
      'PerconaXtraDBCluster',
      'databases',
      'percona-xtradb-cluster',
      'a-haproxy',
    ],
    ['k8s.mariadb.com/v1alpha1', 'MariaDB', 'databases', 'mariadb', 'a-primary'],
    ['psmdb.percona.com/v1', 'PerconaServerMongoDB', 'databases', 'mongodb', 'a-rs0'],
    ['mongodbcommunity.mongodb.com/v1', 'MongoDBCommunity', 'databases', 'mongodb', 'a-svc'],
    ['databases.spotahome.com/v1', 'RedisFailover', 'databases', 'redis', 'rfs-a'],
    ['redis.redis.opstreelabs.in/v1beta2', 'Redis', 'databases', 'redis', 'a'],
    ['redis.redis.opstreelabs.in/v1beta2', 'RedisCluster', 'databases', 'redis', 'a-leader'],
    ['redis.redis.opstreelabs.in/v1beta2', 'RedisReplication', 'databases', 'redis', 'a-master'],
    [
      'redis.redis.opstreelabs.in/v1beta2',
      'RedisSentinel',
      'databases',
      'redis-sentinel',
      'a-sentinel',
    ],
    ['elasticsearch.k8s.elastic.co/v1', 'Elasticsearch', 'databases', 'elasticsearch', 'a-es-http'],
    ['opensearch.opster.io/v1', 'OpenSearchCluster', 'databases', 'opensearch', 'a'],
    [
      'clickhouse.altinity.com/v1',
      'ClickHouseInstallation',
      'databases',
      'clickhouse',
      'clickhouse-a',
    ],
    ['kafka.strimzi.io/v1beta2', 'Kafka', 'messaging', 'kafka', 'a-kafka-bootstrap'],
    ['kafka.strimzi.io/v1beta2', 'KafkaConnect', 'applications', undefined, 'a-connect-api'],
    ['rabbitmq.com/v1beta1', 'RabbitmqCluster', 'messaging', 'rabbitmq', 'a'],
    ['etcd.database.coreos.com/v1beta2', 'EtcdCluster', 'infrastructure', 'etcd', 'a-client'],
    ['k8s.keycloak.org/v2alpha1', 'Keycloak', 'applications', undefined, 'a-service'],
    ['kibana.k8s.elastic.co/v1', 'Kibana', 'applications', undefined, 'a-kb-http'],
    ['temporal.io/v1beta1', 'TemporalCluster', 'applications', undefined, 'a-frontend'],
    ['kubedb.com/v1', 'Postgres', 'databases', 'postgres', 'a'],
  ])('knows %s %s', (apiVersion, kind, stage, engine, service) => {
    const found = known(resource(apiVersion, kind));
    expect([found.stage, found.engine]).toEqual([stage, engine]);
    expect(found.services('a')).toContain(service);
  });

  it('says that a pooler follows the databases', () => {
    const poolers = KNOWN.filter(({ pooler }) => pooler).map(({ kind }) => kind);
    expect(poolers).toEqual(expect.arrayContaining(['Pooler', 'MaxScale', 'PgBouncer']));
  });

  it('takes the pools of a Kafka for a part of it', () => {
    const labels = { 'strimzi.io/cluster': 'events' };
    const pool = resource('kafka.strimzi.io/v1beta2', 'KafkaNodePool', {}, { labels });
    expect(known(pool).partOf?.(pool)).toEqual({ kind: 'Kafka', name: 'events' });
    const alone = resource('kafka.strimzi.io/v1beta2', 'KafkaNodePool');
    expect(known(alone).partOf?.(alone)).toBeUndefined();
  });

  it('knows the Services of listeners outside', () => {
    const listeners = [
      { name: 'plain', type: 'internal' },
      { name: 'external', type: 'loadbalancer' },
    ];
    const kafka = resource('kafka.strimzi.io/v1beta2', 'Kafka', { kafka: { listeners } });
    const services = known(kafka).services('a', kafka);
    expect(services).toContain('a-kafka-external-bootstrap');
    expect(services).not.toContain('a-kafka-plain-bootstrap');
  });
});

describe('a resource that the table lacks', () => {
  it('is unknown if its spec hints at pods, at any of the upper levels', () => {
    expect(knownResource(resource('acme.example/v1', 'Store', { size: 3 }))).toBe('unknown');
    const nested = { server: { persistence: { enabled: true } } };
    expect(knownResource(resource('acme.example/v1', 'Store', nested))).toBe('unknown');
    expect(knownResource(resource('acme.example/v1', 'Colour', { hue: 3 }))).toBeUndefined();
    expect(knownResource(resource('helm.toolkit.fluxcd.io/v2', 'HelmRelease'))).toBe('unknown');
    expect(knownResource(resource('argoproj.io/v1alpha1', 'Application'))).toBe('unknown');
  });

  it.each([
    ['kafka.strimzi.io/v1beta2', 'KafkaTopic', { partitions: 3, replicas: 3 }],
    ['external-secrets.io/v1', 'ExternalSecret', { target: { template: {} } }],
    ['bitnami.com/v1alpha1', 'SealedSecret', { template: {} }],
    ['velero.io/v1', 'Schedule', { template: {} }],
    ['postgresql.cnpg.io/v1', 'ScheduledBackup', {}],
    ['monitoring.coreos.com/v1', 'ServiceMonitor', {}],
    ['networking.istio.io/v1', 'VirtualService', {}],
    ['cert-manager.io/v1', 'Certificate', {}],
    ['snapshot.storage.k8s.io/v1', 'VolumeSnapshotClass', {}],
    ['apps/v1', 'Deployment', { template: {} }],
    ['networking.k8s.io/v1', 'Ingress', {}],
    ['v1', 'Service', {}],
  ])('is no question where %s %s makes no pods', (apiVersion, kind, spec) => {
    expect(knownResource(resource(apiVersion, kind, spec))).toBeUndefined();
  });
});

describe('Secrets that a resource makes', () => {
  it.each<[KubeObject, readonly string[]]>([
    [{ apiVersion: 'v1', kind: 'Secret', metadata: { name: 'a' } }, ['a']],
    [resource('external-secrets.io/v1', 'ExternalSecret', { target: { name: 'b' } }), ['b']],
    [resource('external-secrets.io/v1', 'ExternalSecret'), ['a']],
    [resource('bitnami.com/v1alpha1', 'SealedSecret'), ['a']],
    [resource('cert-manager.io/v1', 'Certificate', { secretName: 'tls' }), ['tls']],
    [resource('kafka.strimzi.io/v1', 'KafkaUser'), ['a']],
    [resource('networking.k8s.io/v1', 'Ingress', { tls: [{ secretName: 't' }] }), []],
    [
      resource(
        'networking.k8s.io/v1',
        'Ingress',
        { tls: [{ secretName: 't' }] },
        {
          annotations: { 'cert-manager.io/cluster-issuer': 'le' },
        },
      ),
      ['t'],
    ],
    [
      resource('secrets-store.csi.x-k8s.io/v1', 'SecretProviderClass', {
        secretObjects: [{ secretName: 's' }],
      }),
      ['s'],
    ],
    [resource('apps/v1', 'Deployment'), []],
  ])('%j', (object, names) => {
    expect(secretsMadeBy(object)).toEqual(names);
  });

  it.each([
    ['postgresql.cnpg.io/v1', 'Cluster', {}, 'a-app'],
    ['rabbitmq.com/v1beta1', 'RabbitmqCluster', {}, 'a-default-user'],
    ['elasticsearch.k8s.elastic.co/v1', 'Elasticsearch', {}, 'a-es-elastic-user'],
    [
      'acid.zalan.do/v1',
      'postgresql',
      { users: { my_app: [] } },
      'my-app.a.credentials.postgresql.acid.zalan.do',
    ],
    [
      'acid.zalan.do/v1',
      'postgresql',
      { preparedDatabases: { my_db: { defaultUsers: true } } },
      'my-db-owner-user.a.credentials.postgresql.acid.zalan.do',
    ],
    [
      'acid.zalan.do/v1',
      'postgresql',
      { preparedDatabases: { d: { schemas: { s: { defaultUsers: true }, t: {} } } } },
      'd-s-reader-user.a.credentials.postgresql.acid.zalan.do',
    ],
    ['postgres-operator.crunchydata.com/v1', 'PostgresCluster', {}, 'a-pguser-a'],
    ['k8s.mariadb.com/v1alpha1', 'MariaDB', { passwordSecretKeyRef: { name: 'p' } }, 'p'],
    [
      'mongodbcommunity.mongodb.com/v1',
      'MongoDBCommunity',
      { users: [{ name: 'u', db: 'd' }] },
      'a-d-u',
    ],
    ['k8s.keycloak.org/v2alpha1', 'Keycloak', {}, 'a-initial-admin'],
  ])('%s %s', (apiVersion, kind, spec, name) => {
    expect(secretsMadeBy(resource(apiVersion, kind, spec))).toContain(name);
  });

  it('does not count what mariadb-operator is told not to make', () => {
    const spec = { passwordSecretKeyRef: { name: 'p', generate: false } };
    expect(secretsMadeBy(resource('k8s.mariadb.com/v1alpha1', 'MariaDB', spec))).not.toContain('p');
  });

  it('knows the ConfigMaps of every namespace', () => {
    expect(configMapsMadeBy(undefined)).toContain('kube-root-ca.crt');
    expect(configMapsMadeBy({ kind: 'ConfigMap', metadata: { name: 'c' } })).toEqual(['c']);
  });
});

describe('what a resource keeps on no claim', () => {
  const lost = (object: KubeObject) =>
    lostByResource(object, known(object)).map(({ volume }) => volume);

  it.each<[string, string, object, readonly string[]]>([
    ['postgresql.cnpg.io/v1', 'Cluster', { storage: { size: '1Gi' } }, []],
    ['databases.spotahome.com/v1', 'RedisFailover', { redis: {} }, ['redis-data']],
    [
      'databases.spotahome.com/v1',
      'RedisFailover',
      { redis: { storage: { persistentVolumeClaim: {} } } },
      [],
    ],
    ['redis.redis.opstreelabs.in/v1beta2', 'Redis', {}, ['(memory)']],
    ['redis.redis.opstreelabs.in/v1beta2', 'Redis', { storage: { volumeClaimTemplate: {} } }, []],
    [
      'rabbitmq.com/v1beta1',
      'RabbitmqCluster',
      { persistence: { storage: '0Gi' } },
      ['persistence'],
    ],
    ['rabbitmq.com/v1beta1', 'RabbitmqCluster', { persistence: { storage: 0 } }, ['persistence']],
    ['rabbitmq.com/v1beta1', 'RabbitmqCluster', { persistence: { storage: '10Gi' } }, []],
    ['rabbitmq.com/v1beta1', 'RabbitmqCluster', {}, []],
    ['kafka.strimzi.io/v1', 'Kafka', { kafka: { storage: { type: 'ephemeral' } } }, ['kafka']],
    ['kafka.strimzi.io/v1', 'Kafka', { kafka: { storage: { type: 'persistent-claim' } } }, []],
    ['monitoring.coreos.com/v1', 'Prometheus', {}, ['prometheus-a-db']],
    ['monitoring.coreos.com/v1', 'Prometheus', { storage: { emptyDir: {} } }, ['storage']],
    ['clickhouse.altinity.com/v1', 'ClickHouseInstallation', {}, ['(container)']],
    [
      'elasticsearch.k8s.elastic.co/v1',
      'Elasticsearch',
      {
        nodeSets: [
          {
            name: 'default',
            podTemplate: { spec: { volumes: [{ name: 'elasticsearch-data', emptyDir: {} }] } },
          },
        ],
      },
      ['elasticsearch-data'],
    ],
    [
      'acid.zalan.do/v1',
      'postgresql',
      { additionalVolumes: [{ name: 'spool', volumeSource: { emptyDir: {} } }] },
      ['spool'],
    ],
  ])('%s %s %j', (apiVersion, kind, spec, volumes) => {
    expect(lost(resource(apiVersion, kind, spec))).toEqual(volumes);
  });
});
