import { type KnownResource, prefixed, suffixed } from './known-resource.ts';

type Names = KnownResource['services'];

/** Resources whose pods are applications: what their Services and Secrets are called. */
const TABLE: readonly (readonly [group: string, kind: string, services: Names, secrets?: Names])[] =
  [
    [
      'k8s.keycloak.org',
      'Keycloak',
      suffixed('-service', '-discovery'),
      suffixed('-initial-admin'),
    ],
    ['keycloak.org', 'Keycloak', () => ['keycloak', 'keycloak-discovery'], prefixed('credential-')],
    ['kafka.strimzi.io', 'KafkaConnect', suffixed('-connect-api', '-connect')],
    ['kafka.strimzi.io', 'KafkaMirrorMaker2', suffixed('-mirrormaker2-api', '-mirrormaker2')],
    ['kafka.strimzi.io', 'KafkaMirrorMaker', () => []],
    ['kafka.strimzi.io', 'KafkaBridge', suffixed('-bridge-service')],
    ['kibana.k8s.elastic.co', 'Kibana', suffixed('-kb-http'), suffixed('-kb-http-certs-public')],
    [
      'apm.k8s.elastic.co',
      'ApmServer',
      suffixed('-apm-http'),
      suffixed('-apm-token', '-apm-http-certs-public'),
    ],
    ['beat.k8s.elastic.co', 'Beat', () => []],
    ['agent.k8s.elastic.co', 'Agent', suffixed('-agent-http')],
    ['logstash.k8s.elastic.co', 'Logstash', suffixed('-ls-api')],
    ['enterprisesearch.k8s.elastic.co', 'EnterpriseSearch', suffixed('-ent-http')],
    ['temporal.io', 'TemporalCluster', suffixed('-frontend', '-ui', '-frontend-headless')],
    ['grafana.integreatly.org', 'Grafana', suffixed('-service'), suffixed('-admin-credentials')],
    ['monitoring.coreos.com', 'Alertmanager', () => ['alertmanager-operated']],
    ['monitoring.coreos.com', 'ThanosRuler', () => ['thanos-ruler-operated']],
    ['monitoring.coreos.com', 'PrometheusAgent', () => ['prometheus-operated']],
    ['operator.victoriametrics.com', 'VMAgent', prefixed('vmagent-')],
    ['operator.victoriametrics.com', 'VMAlert', prefixed('vmalert-')],
    ['operator.victoriametrics.com', 'VMAlertmanager', prefixed('vmalertmanager-')],
    ['operator.victoriametrics.com', 'VMAuth', prefixed('vmauth-')],
    ['opentelemetry.io', 'OpenTelemetryCollector', suffixed('-collector', '-collector-headless')],
    ['jaegertracing.io', 'Jaeger', suffixed('-query', '-collector', '-agent')],
    ['flink.apache.org', 'FlinkDeployment', suffixed('', '-rest')],
    ['ray.io', 'RayCluster', suffixed('-head-svc')],
    ['argoproj.io', 'ArgoCD', suffixed('-server', '-repo-server', '-redis'), suffixed('-cluster')],
    ['argoproj.io', 'Rollout', () => []],
    ['installation.mattermost.com', 'Mattermost', (name) => [name]],
    ['apps.gitlab.com', 'GitLab', suffixed('-webservice-default', '-gitlab-shell')],
    ['goharbor.io', 'HarborCluster', suffixed('-harbor-core', '-harbor-portal')],
    ['serving.knative.dev', 'Service', (name) => [name]],
    ['postgres-operator.crunchydata.com', 'PGAdmin', (name) => [name]],
  ];

export const APPLICATIONS: readonly KnownResource[] = TABLE.map(
  ([group, kind, services, secrets]) => ({
    group,
    kind,
    stage: 'applications' as const,
    services,
    ...(secrets !== undefined && { secrets }),
  }),
);

/** The kinds of KubeDB, each reached by the name of its resource. */
const KUBEDB: readonly (readonly [kind: string, stage: KnownResource['stage'], engine: string])[] =
  [
    ['Postgres', 'databases', 'postgres'],
    ['MySQL', 'databases', 'mysql'],
    ['MariaDB', 'databases', 'mariadb'],
    ['PerconaXtraDB', 'databases', 'percona-xtradb-cluster'],
    ['MongoDB', 'databases', 'mongodb'],
    ['Redis', 'databases', 'redis'],
    ['Elasticsearch', 'databases', 'elasticsearch'],
    ['Memcached', 'databases', 'memcached'],
    ['ClickHouse', 'databases', 'clickhouse'],
    ['Cassandra', 'databases', 'cassandra'],
    ['Kafka', 'messaging', 'kafka'],
    ['RabbitMQ', 'messaging', 'rabbitmq'],
    ['ZooKeeper', 'infrastructure', 'zookeeper'],
    ['PgBouncer', 'databases', 'pgbouncer'],
  ];

export const KUBEDB_RESOURCES: readonly KnownResource[] = KUBEDB.map(([kind, stage, engine]) => ({
  group: 'kubedb.com',
  kind,
  stage,
  engine,
  ...(engine === 'pgbouncer' && { pooler: true as const }),
  ...(engine === 'memcached' && {
    lost: () => [{ volume: '(memory)', why: 'memcached keeps everything in memory' }],
  }),
  services: suffixed('', '-standby', '-secondary', '-pods'),
  secrets: suffixed('-auth'),
}));
