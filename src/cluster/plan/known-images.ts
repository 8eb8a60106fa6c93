import type { Stage } from './document.ts';

/** What an image says of the place of its pod. A pooler follows the databases and precedes what goes through it. */
export type ImageStage = Stage | 'pooler';

/** Names of images, blank-separated, by the name that the server is known under. The own name is one of them. */
type Names = Readonly<Record<string, string>>;

const INFRASTRUCTURE: Names = {
  etcd: '',
  consul: '',
  zookeeper: '',
  vault: '',
  openbao: '',
  nacos: '',
  'clickhouse-keeper': '',
};

const POOLERS: Names = {
  pgbouncer: '',
  haproxy: '',
  pgpool: 'pgpool2 pgpool-ii',
  pgcat: '',
  odyssey: '',
  supavisor: '',
  proxysql: '',
  maxscale: '',
  'mysql-router': 'mysqlrouter community-router',
  mongos: '',
  ferretdb: '',
  twemproxy: 'nutcracker',
  'redis-cluster-proxy': '',
  'cloud-sql-proxy': 'gce-proxy',
  vtgate: '',
};

const DATABASES: Names = {
  postgres:
    'postgresql psql pgsql postgis pgvector pgvectors pgvecto pgvecto-rs vchord vectorchord paradedb timescaledb timescale spilo patroni stolon cnpg enterprisedb harbor-db pgautofailover pgautoupgrade citus postgres-documentdb',
  mysql: 'percona percona-server',
  mariadb: '',
  'percona-xtradb-cluster': 'pxc xtradb',
  mongodb: 'mongo mongod psmdb',
  redis: 'valkey rejson redisearch redismod redisgraph redistimeseries',
  'redis-sentinel': 'valkey-sentinel',
  keydb: '',
  dragonfly: 'dragonflydb',
  garnet: '',
  kvrocks: '',
  memcached: 'memcache',
  hazelcast: '',
  infinispan: '',
  ignite: '',
  aerospike: '',
  tarantool: '',
  elasticsearch: '',
  opensearch: '',
  solr: '',
  meilisearch: 'meili',
  typesense: '',
  manticore: 'manticoresearch sphinxsearch',
  sonic: '',
  quickwit: '',
  zincsearch: 'zinc',
  vespa: '',
  minio: '',
  seaweedfs: '',
  garage: '',
  rustfs: '',
  cloudserver: '',
  clickhouse: '',
  influxdb: 'influx influxdb3',
  prometheus: '',
  'victoria-metrics': 'victoriametrics vmsingle vmstorage',
  'victoria-logs': 'victorialogs vlsingle vlstorage',
  questdb: '',
  graphite: '',
  opentsdb: '',
  iotdb: '',
  tdengine: '',
  greptimedb: '',
  loki: 'grafana-loki',
  mimir: 'grafana-mimir',
  tempo: 'grafana-tempo',
  pyroscope: 'grafana-pyroscope',
  cortex: '',
  thanos: '',
  cassandra: 'cass dse cass-management-api',
  scylla: 'scylladb',
  hbase: '',
  cockroach: 'cockroachdb',
  yugabyte: 'yugabytedb',
  tidb: '',
  tikv: '',
  foundationdb: '',
  crate: 'cratedb',
  druid: '',
  pinot: '',
  neo4j: '',
  arangodb: 'arango',
  dgraph: '',
  orientdb: '',
  memgraph: '',
  nebula: '',
  couchdb: '',
  couchbase: '',
  ravendb: '',
  rethinkdb: '',
  surrealdb: '',
  firebird: '',
  mssql: '',
  oracle: '',
  db2: '',
  rqlite: '',
  libsql: 'sqld',
  oceanbase: '',
  doris: '',
  starrocks: '',
  milvus: '',
  qdrant: '',
  weaviate: '',
  chroma: 'chromadb',
  immudb: '',
  bookkeeper: '',
  openldap: '',
};

const MESSAGING: Names = {
  kafka: '',
  redpanda: '',
  rabbitmq: 'rabbit',
  nats: 'nats-streaming',
  pulsar: '',
  mosquitto: '',
  emqx: '',
  vernemq: '',
  hivemq: 'hivemq4',
  activemq: 'artemis activemq-classic',
  rocketmq: '',
  lavinmq: '',
  elasticmq: '',
  nsq: 'nsqd nsqlookupd',
  beanstalkd: '',
  solace: '',
};

/**
 * Words that vendors put around a server's name, and that do not change what runs. A name with any other word
 * (`postgres-exporter`, `kafka-ui`, `redis-commander`) is that of an application. A name of such words only
 * (`mssql/server`) says nothing, so the part before it counts.
 */
export const DECORATIONS = new Set(
  [
    'alpine debian ubuntu bookworm bullseye trixie centos ubi rhel photon fips slim latest hardened chiseled',
    'official docker image container custom my apache eclipse cp edb crunchy percona bitnami iamguarded',
    'distribution community enterprise oss ce ee pro core edition standard native certified suite lts',
    'server database db appdb gis standalone single master main node broker',
    'cluster sharded replicaset ha repmgr galera stack bundle all management pubsub',
  ].flatMap((line) => line.split(' ')),
);

export interface KnownImage {
  readonly stage: ImageStage;
  /** What the image is known as: `postgres`, `kafka`. */
  readonly engine: string;
}

function entries(names: Names, stage: ImageStage): readonly (readonly [string, KnownImage])[] {
  return Object.entries(names).flatMap(([engine, others]) =>
    [engine, ...others.split(' ').filter(Boolean)].map((one) => [one, { stage, engine }] as const),
  );
}

export const IMAGES: ReadonlyMap<string, KnownImage> = new Map([
  ...entries(INFRASTRUCTURE, 'infrastructure'),
  ...entries(DATABASES, 'databases'),
  ...entries(POOLERS, 'pooler'),
  ...entries(MESSAGING, 'messaging'),
]);
