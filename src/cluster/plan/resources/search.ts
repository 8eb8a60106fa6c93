import { at, type KubeObject, listAt, textAt } from '../../objects/kube-object.ts';
import { type KnownResource, namesAt, prefixed, suffixed, textsOf } from './known-resource.ts';
import { needsClaimAt } from './lost.ts';

const databases = { stage: 'databases' } as const;
const clickhouse = { ...databases, engine: 'clickhouse' } as const;

/** Search, wide-column, object and time-series stores. */
export const SEARCH: readonly KnownResource[] = [
  {
    ...databases,
    group: 'elasticsearch.k8s.elastic.co',
    kind: 'Elasticsearch',
    engine: 'elasticsearch',
    services: suffixed('-es-http', '-es-transport', '-es-internal-http'),
    secrets: (name) =>
      suffixed(
        'elastic-user',
        'http-certs-public',
        'http-certs-internal',
        'http-ca-internal',
      )(`${name}-es-`),
  },
  ...['opensearch.opster.io', 'opensearch.org'].map((group): KnownResource => ({
    ...databases,
    group,
    kind: 'OpenSearchCluster',
    engine: 'opensearch',
    services: (name, object) => [
      textAt(object, 'spec', 'general', 'serviceName') ?? name,
      `${name}-dashboards`,
      `${name}-discovery`,
    ],
    secrets: suffixed('-admin-password', '-admin-cert', '-http-cert', '-transport-cert', '-ca'),
  })),
  {
    ...databases,
    group: 'solr.apache.org',
    kind: 'SolrCloud',
    engine: 'solr',
    services: suffixed('-solrcloud-common', '-solrcloud-headless'),
    secrets: suffixed('-solrcloud-security-bootstrap', '-solrcloud-basic-auth'),
  },
  {
    ...clickhouse,
    group: 'clickhouse.altinity.com',
    kind: 'ClickHouseInstallation',
    services: (name, object) => {
      const clusters = namesAt(object, 'spec', 'configuration', 'clusters');
      return [
        `clickhouse-${name}`,
        `chi-${name}`,
        ...clusters.map((cluster) => `chi-${name}-${cluster}-0-0`),
      ];
    },
    lost: needsClaimAt('(container)', ['templates', 'volumeClaimTemplates']),
  },
  {
    ...databases,
    group: 'cassandra.datastax.com',
    kind: 'CassandraDatacenter',
    engine: 'cassandra',
    services: (name, object) => {
      const cluster = clusterOf(object) ?? name;
      return suffixed('-service', '-all-pods-service', '-seed-service')(`${cluster}-${name}`);
    },
    secrets: (name, object) => [`${clusterOf(object) ?? name}-superuser`],
  },
  {
    ...databases,
    group: 'k8ssandra.io',
    kind: 'K8ssandraCluster',
    engine: 'cassandra',
    services: (name, object) =>
      listAt(object, 'spec', 'cassandra', 'datacenters')
        .flatMap((one) => textsOf(one as KubeObject, 'metadata', 'name'))
        .flatMap((dc) => [`${name}-${dc}-service`, `${name}-${dc}-stargate-service`]),
    secrets: suffixed('-superuser'),
  },
  {
    ...databases,
    group: 'scylla.scylladb.com',
    kind: 'ScyllaCluster',
    engine: 'scylla',
    services: suffixed('-client'),
  },
  {
    ...databases,
    group: 'couchbase.com',
    kind: 'CouchbaseCluster',
    engine: 'couchbase',
    services: suffixed('', '-srv', '-ui'),
  },
  {
    ...databases,
    group: 'database.arangodb.com',
    kind: 'ArangoDeployment',
    engine: 'arangodb',
    services: suffixed('', '-ea', '-int'),
  },
  {
    ...databases,
    group: 'minio.min.io',
    kind: 'Tenant',
    engine: 'minio',
    services: (name) => ['minio', `${name}-hl`, `${name}-console`],
  },
  {
    ...databases,
    group: 'seaweed.seaweedfs.com',
    kind: 'Seaweed',
    engine: 'seaweedfs',
    services: suffixed('-master', '-filer', '-volume', '-s3'),
  },
  {
    ...databases,
    group: 'monitoring.coreos.com',
    kind: 'Prometheus',
    engine: 'prometheus',
    services: () => ['prometheus-operated'],
    lost: (object) =>
      needsClaimAt(`prometheus-${object.metadata?.name ?? ''}-db`, ['storage'])(object),
  },
  ...(
    [
      ['VMSingle', ['vmsingle-']],
      ['VMCluster', ['vminsert-', 'vmselect-', 'vmstorage-']],
    ] as const
  ).map(([kind, names]): KnownResource => ({
    ...databases,
    group: 'operator.victoriametrics.com',
    kind,
    engine: 'victoria-metrics',
    services: prefixed(...names),
    ...(kind === 'VMSingle' && { lost: needsClaimAt('data', ['storage']) }),
  })),
  {
    ...databases,
    group: 'milvus.io',
    kind: 'Milvus',
    engine: 'milvus',
    services: suffixed('-milvus'),
  },
];
function clusterOf(object: KubeObject | undefined): string | undefined {
  const name = at(object, 'spec', 'clusterName');
  return typeof name === 'string' ? name.toLowerCase().replaceAll(/[^a-z0-9-]/g, '') : undefined;
}
