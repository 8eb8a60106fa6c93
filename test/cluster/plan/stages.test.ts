import { describe, expect, it } from 'vitest';
import type { Container, Pod } from '../../../src/cluster/objects/pod.ts';
import { knownContainer, knownImage, knownPod } from '../../../src/cluster/plan/stages.ts';

const IMAGES: readonly (readonly [image: string, known: string])[] = [
  ['postgres', 'databases postgres'],
  ['docker.io/library/postgres:16.4-alpine@sha256:0af0', 'databases postgres'],
  ['localhost:5000/postgres', 'databases postgres'],
  ['bitnami/postgresql:16', 'databases postgres'],
  ['bitnamilegacy/postgresql-repmgr:16', 'databases postgres'],
  ['registry.redhat.io/rhel9/postgresql-15:1-42', 'databases postgres'],
  ['quay.io/sclorg/postgresql-15-c9s', 'databases postgres'],
  ['cr.example.org/team/postgres-15', 'databases postgres'],
  ['ghcr.io/cloudnative-pg/postgresql:17.2', 'databases postgres'],
  ['ghcr.io/zalando/spilo-15:3.0-p1', 'databases postgres'],
  [
    'registry.developers.crunchydata.com/crunchydata/crunchy-postgres-gis:ubi8',
    'databases postgres',
  ],
  ['percona/percona-distribution-postgresql:16', 'databases postgres'],
  ['percona/percona-postgresql-operator:2.5.0-ppg16.4-postgres', 'databases postgres'],
  ['percona/percona-postgresql-operator:2.5.0-ppg16.4-pgbouncer1.23', 'pooler pgbouncer'],
  ['ghcr.io/ferretdb/postgres-documentdb:17', 'databases postgres'],
  ['pgautoupgrade/pgautoupgrade:17-alpine', 'databases postgres'],
  ['postgis/postgis:16-3.4', 'databases postgres'],
  ['timescale/timescaledb-ha:pg16', 'databases postgres'],
  ['tensorchord/pgvecto-rs:pg16-v0.2.0', 'databases postgres'],
  ['tensorchord/vchord-postgres:pg16', 'databases postgres'],
  ['ghcr.io/immich-app/postgres:14-vectorchord0.3.0', 'databases postgres'],
  ['pgvector/pgvector:pg17', 'databases postgres'],
  ['supabase/postgres:15', 'databases postgres'],
  ['goharbor/harbor-db:v2.11', 'databases postgres'],
  ['acme/custom-postgres', 'databases postgres'],
  ['redis:7', 'databases redis'],
  ['valkey/valkey-bundle:8', 'databases redis'],
  ['redis/redis-stack-server', 'databases redis'],
  ['goharbor/redis-photon:v2.11', 'databases redis'],
  ['bitnami/redis-cluster', 'databases redis'],
  ['valkey/valkey:8-alpine', 'databases redis'],
  ['bitnami/redis-sentinel:7', 'databases redis-sentinel'],
  ['docker.dragonflydb.io/dragonflydb/dragonfly', 'databases dragonfly'],
  ['eqalpha/keydb', 'databases keydb'],
  ['memcached:1.6-alpine', 'databases memcached'],
  ['mongo:7', 'databases mongodb'],
  ['mongodb/mongodb-community-server:7.0-ubi9', 'databases mongodb'],
  ['percona/percona-server-mongodb:7.0', 'databases mongodb'],
  ['mysql/mysql-server', 'databases mysql'],
  ['container-registry.oracle.com/mysql/community-server:8.4', 'databases mysql'],
  ['percona/percona-server:8.0', 'databases mysql'],
  ['percona:8', 'databases mysql'],
  ['percona/percona-xtradb-cluster:8.0', 'databases percona-xtradb-cluster'],
  ['bitnami/mariadb-galera', 'databases mariadb'],
  ['lscr.io/linuxserver/mariadb', 'databases mariadb'],
  ['mcr.microsoft.com/mssql/server:2022-latest', 'databases mssql'],
  ['grafana/loki:3', 'databases loki'],
  ['bitnami/grafana-loki:3', 'databases loki'],
  ['bitnami/grafana-mimir:2', 'databases mimir'],
  ['grafana/tempo:2', 'databases tempo'],
  ['quay.io/thanos/thanos:v0.35', 'databases thanos'],
  ['starrocks/starrocks', 'databases starrocks'],
  ['apache/activemq-classic:6', 'messaging activemq'],
  ['cloudamqp/lavinmq:2', 'messaging lavinmq'],
  ['couchbase/server:community', 'databases couchbase'],
  ['docker.elastic.co/elasticsearch/elasticsearch:8.15.0', 'databases elasticsearch'],
  ['opensearchproject/opensearch:2', 'databases opensearch'],
  ['getmeili/meilisearch:v1.10', 'databases meilisearch'],
  ['typesense/typesense:27', 'databases typesense'],
  ['quay.io/minio/minio', 'databases minio'],
  ['chrislusf/seaweedfs', 'databases seaweedfs'],
  ['altinity/clickhouse-server:24.3', 'databases clickhouse'],
  ['clickhouse/clickhouse-keeper', 'infrastructure clickhouse-keeper'],
  ['influxdb:2', 'databases influxdb'],
  ['prom/prometheus:v2', 'databases prometheus'],
  ['victoriametrics/victoria-metrics:v1', 'databases victoria-metrics'],
  ['questdb/questdb', 'databases questdb'],
  ['k8ssandra/cass-management-api:4.1', 'databases cassandra'],
  ['scylladb/scylla', 'databases scylla'],
  ['cockroachdb/cockroach', 'databases cockroach'],
  ['neo4j:5-enterprise', 'databases neo4j'],
  ['quay.io/coreos/etcd:v3.5', 'infrastructure etcd'],
  ['hashicorp/consul', 'infrastructure consul'],
  ['confluentinc/cp-zookeeper:7.5', 'infrastructure zookeeper'],
  ['hashicorp/vault-enterprise', 'infrastructure vault'],
  ['confluentinc/cp-kafka:7.5', 'messaging kafka'],
  ['apache/kafka-native', 'messaging kafka'],
  ['rabbitmq:3.13-management', 'messaging rabbitmq'],
  ['nats:2', 'messaging nats'],
  ['apachepulsar/pulsar-all', 'messaging pulsar'],
  ['eclipse-mosquitto:2', 'messaging mosquitto'],
  ['emqx/emqx-enterprise', 'messaging emqx'],
  ['apache/activemq-artemis', 'messaging activemq'],
  ['redpandadata/redpanda', 'messaging redpanda'],
  ['edoburu/pgbouncer', 'pooler pgbouncer'],
  ['apache/airflow:airflow-pgbouncer-2024.01.19-1.21.0', 'pooler pgbouncer'],
  ['proxysql/proxysql', 'pooler proxysql'],
];

const APPLICATIONS = [
  'quay.io/prometheuscommunity/postgres-exporter:v0.15',
  'oliver006/redis_exporter',
  'bitnami/kafka-exporter',
  'dabealu/zookeeper-exporter',
  'rediscommander/redis-commander',
  'redis/redisinsight',
  'dpage/pgadmin4',
  'mongo-express:1',
  'provectuslabs/kafka-ui',
  'redpandadata/console',
  'ghcr.io/zalando/postgres-operator',
  'percona/percona-postgresql-operator:2.5.0',
  'percona/percona-postgresql-operator:2.5.0-ppg16.4-pgbackrest2.53',
  'prodrigestivill/postgres-backup-local',
  'quay.io/prometheus-operator/prometheus-operator',
  'quay.io/prometheus-operator/prometheus-config-reloader',
  'prom/node-exporter',
  'hashicorp/vault-k8s',
  'natsio/nats-box',
  'minio/mc',
  'opensearchproject/opensearch-dashboards:2',
  'confluentinc/cp-kafka-connect',
  'confluentinc/cp-schema-registry',
  'zabbix/zabbix-server-pgsql',
  'postgrest/postgrest',
  'temporalio/server:1.24',
  'vaultwarden/server',
  'supabase/postgres-meta:v0.96',
  'bitnami/minio-object-browser:2',
  'grafana/loki-canary',
  'bitnami/grafana-tempo-vulture',
  'apache/airflow:2.9.3',
  'apache/airflow:airflow-pgbouncer-exporter-2024.06.18-0.17.0',
  'acme/redis-worker',
  'library/server',
  '',
];

function pod(...containers: readonly Partial<Container>[]): Pod {
  return {
    spec: {
      containers: containers.map((one, index) => ({ name: `c${index}`, ...one })),
      volumes: [{ name: 'tmp', emptyDir: {} }],
    },
  };
}

function engineOf(one: Pod, annotations?: Record<string, string>): string | undefined {
  return knownPod(one, annotations)?.engine;
}

describe('an image', () => {
  it.each(IMAGES)('%s is known: %s', (image, expected) => {
    const known = knownImage(image);
    expect(`${known?.stage} ${known?.engine}`).toBe(expected);
  });

  it.each(APPLICATIONS)('"%s" is an application', (image) => {
    expect(knownImage(image)).toBeUndefined();
  });
});

describe('a command decides', () => {
  it.each([
    ['quay.io/strimzi/kafka', ['/opt/kafka/kafka_connect_run.sh'], undefined],
    ['quay.io/strimzi/kafka', ['/opt/kafka/kafka_run.sh'], 'kafka'],
    ['redis', ['redis-server', '/etc/sentinel.conf', '--sentinel'], 'redis-sentinel'],
    ['mongo', ['mongos', '--configdb', 'rs/c'], 'mongos'],
    ['apachepulsar/pulsar', ['sh', '-c', 'bin/pulsar zookeeper'], 'zookeeper'],
    ['apachepulsar/pulsar', ['sh', '-c', 'bin/pulsar bookie'], 'bookkeeper'],
    ['apachepulsar/pulsar', ['sh', '-c', 'bin/pulsar broker'], 'pulsar'],
    [
      'postgres:16',
      ['sh', '-c', 'while true; do pg_dump -Fc app >/b/x; sleep 86400; done'],
      undefined,
    ],
    ['postgres:16', ['sleep', 'infinity'], undefined],
    ['postgres:16', ['postgres', '-c', 'max_connections=200'], 'postgres'],
  ])('what %s is with %j', (image, command, expected) => {
    expect(knownContainer({ name: 'a', image, command })?.engine).toBe(expected);
  });

  it('takes an HAProxy with web ports only for an application', () => {
    const ports = (...all: number[]) => all.map((containerPort) => ({ containerPort }));
    const of = (...all: number[]) =>
      knownContainer({ name: 'a', image: 'haproxy:3', ports: ports(...all) })?.stage;
    expect([of(80, 443), of(6379), of(6379, 8080), of()]).toEqual([
      undefined,
      'pooler',
      'pooler',
      'pooler',
    ]);
  });
});

describe('the main container of a pod', () => {
  const data = [{ name: 'data', mountPath: '/data' }];

  it('is the one that an annotation names', () => {
    const both = pod({ image: 'acme/app' }, { image: 'redis:7' });
    expect(engineOf(both, { 'kubectl.kubernetes.io/default-container': 'c1' })).toBe('redis');
    expect(engineOf(both, { 'quiesce.dev/container': 'c1' })).toBe('redis');
    expect(
      engineOf(both, {
        'quiesce.dev/container': 'c0',
        'kubectl.kubernetes.io/default-container': 'c1',
      }),
    ).toBeUndefined();
    expect(engineOf(both, { 'quiesce.dev/container': 'gone' })).toBeUndefined();
  });

  it('is no helper, wherever that stands', () => {
    expect(engineOf(pod({ image: 'oliver006/redis_exporter' }, { image: 'redis' }))).toBe('redis');
    expect(engineOf(pod({ image: 'istio/proxyv2' }, { image: 'mysql' }))).toBe('mysql');
    expect(
      engineOf(pod({ image: 'percona/pmm-client', name: 'pmm-agent' }, { image: 'mongo' })),
    ).toBe('mongodb');
  });

  it('is the application where a cache without a claim is beside it', () => {
    expect(engineOf(pod({ image: 'acme/app' }, { image: 'redis:7' }))).toBeUndefined();
    expect(engineOf(pod({ image: 'acme/app' }, { image: 'edoburu/pgbouncer' }))).toBeUndefined();
    const mounts = [{ name: 'tmp', mountPath: '/data' }];
    expect(
      engineOf(pod({ image: 'acme/app' }, { image: 'redis', volumeMounts: mounts })),
    ).toBeUndefined();
  });

  it('is the database with a claim, wherever that stands', () => {
    expect(engineOf(pod({ image: 'acme/app' }, { image: 'postgres', volumeMounts: data }))).toBe(
      'postgres',
    );
  });

  it('is never an init container or the sidecar of quiesce', () => {
    const init: Pod = {
      spec: {
        initContainers: [{ name: 'wait', image: 'postgres:16', restartPolicy: 'Always' }],
        containers: [
          { name: 'app', image: 'acme/app' },
          { name: 'quiesce', image: 'postgres' },
        ],
      },
    };
    expect(engineOf(init)).toBeUndefined();
  });
});
