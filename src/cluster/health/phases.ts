import { at, type KubeObject, listAt, textAt } from '../objects/kube-object.ts';

/** Where a kind says how it stands, if no condition does: the first field that is there counts. */
export interface Phase {
  readonly path: readonly string[];
  readonly good: RegExp;
}

const phase = (good: RegExp, ...path: readonly string[]): Phase => ({
  path: ['status', ...(path.length > 0 ? path : ['phase'])],
  good,
});

/** By `KIND.GROUP`, or `.GROUP` for all kinds of a group. */
const PHASES: Readonly<Record<string, Phase>> = {
  'Cluster.postgresql.cnpg.io': phase(/^Cluster in healthy state$/),
  'Cluster.postgresql.k8s.enterprisedb.io': phase(/^Cluster in healthy state$/),
  'postgresql.acid.zalan.do': phase(/^Running$/, 'PostgresClusterStatus'),
  '.pgv2.percona.com': phase(/^ready$/, 'state'),
  '.pxc.percona.com': phase(/^ready$/, 'state'),
  '.ps.percona.com': phase(/^ready$/, 'state'),
  '.psmdb.percona.com': phase(/^ready$/, 'state'),
  '.mongodbcommunity.mongodb.com': phase(/^Running$/),
  '.mongodb.com': phase(/^Running$/),
  '.kubedb.com': phase(/^Ready$/),
  'InnoDBCluster.mysql.oracle.com': phase(/^ONLINE$/, 'cluster', 'status'),
  'Elasticsearch.elasticsearch.k8s.elastic.co': phase(/^(?:green|yellow)$/, 'health'),
  'Kibana.kibana.k8s.elastic.co': phase(/^green$/, 'health'),
  'ApmServer.apm.k8s.elastic.co': phase(/^green$/, 'health'),
  'Beat.beat.k8s.elastic.co': phase(/^green$/, 'health'),
  'Agent.agent.k8s.elastic.co': phase(/^green$/, 'health'),
  'Logstash.logstash.k8s.elastic.co': phase(/^green$/, 'health'),
  'EnterpriseSearch.enterprisesearch.k8s.elastic.co': phase(/^green$/, 'health'),
  'OpenSearchCluster.opensearch.opster.io': phase(/^RUNNING$/),
  'RedisCluster.redis.redis.opstreelabs.in': phase(/^Ready$/, 'state'),
  'RedisEnterpriseCluster.app.redislabs.com': phase(/^Running$/, 'state'),
  'RedisEnterpriseDatabase.app.redislabs.com': phase(/^active$/, 'status'),
  'Dragonfly.dragonflydb.io': phase(/^ready$/i),
  'Hazelcast.hazelcast.com': phase(/^Running$/),
  'CassandraDatacenter.cassandra.datastax.com': phase(/^Ready$/, 'cassandraOperatorProgress'),
  'ClickHouseInstallation.clickhouse.altinity.com': phase(/^Completed$/, 'status'),
  'ClickHouseKeeperInstallation.clickhouse-keeper.altinity.com': phase(/^Completed$/, 'status'),
  'ArangoDeployment.database.arangodb.com': phase(/^Running$/),
  'Tenant.minio.min.io': phase(/^Initialized$/, 'currentState'),
  'Milvus.milvus.io': phase(/^Healthy$/, 'status'),
  'MySQLCluster.moco.cybozu.com': phase(/^true$/i, 'healthy'),
  'ArgoCD.argoproj.io': phase(/^Available$/),
  'Rollout.argoproj.io': phase(/^Healthy$/),
  'Grafana.grafana.integreatly.org': phase(/^success$/, 'stageStatus'),
  'FlinkDeployment.flink.apache.org': phase(/^READY$/, 'jobManagerDeploymentStatus'),
  'RayCluster.ray.io': phase(/^ready$/, 'state'),
  'Mattermost.installation.mattermost.com': phase(/^stable$/, 'state'),
  'GitLab.apps.gitlab.com': phase(/^Running$/),
  '.operator.victoriametrics.com': phase(/^operational$/, 'updateStatus'),
  'Vault.vault.banzaicloud.com': phase(/^[a-z0-9-]+$/, 'leader'),
  'Keycloak.keycloak.org': phase(/^true$/, 'ready'),
  'Jaeger.jaegertracing.io': phase(/^Running$/),
  'Kubegres.kubegres.reactive-tech.io': phase(/^$/, 'blockingOperation', 'operationId'),
  '.platform.confluent.io': phase(/^RUNNING$/),
};

/** Further names of conditions that say of a kind what Ready and Available say of others. */
const CONDITIONS: Readonly<Record<string, string>> = {
  'RabbitmqCluster.rabbitmq.com': 'AllReplicasReady',
  'Infinispan.infinispan.org': 'WellFormed',
  'ZookeeperCluster.zookeeper.pravega.io': 'PodsReady',
  'NatsCluster.nats.io': 'Available',
  'ActiveMQArtemis.broker.amq.io': 'Ready',
};

export function kindOf(object: KubeObject): { readonly full: string; readonly group: string } {
  const group =
    object.apiVersion?.includes('/') === true ? (object.apiVersion.split('/')[0] ?? '') : '';
  return { full: `${object.kind ?? ''}.${group}`, group: `.${group}` };
}

/** The condition that says whether the resource is ready. */
export function readyConditionOf(object: KubeObject): unknown {
  const conditions = listAt(object, 'status', 'conditions');
  const own = CONDITIONS[kindOf(object).full];
  return [...(own === undefined ? [] : [own]), 'Ready', 'Available']
    .map((type) => conditions.find((one) => textAt(one, 'type') === type))
    .find((one) => one !== undefined);
}

/** What the resource says in its field, and whether that is good; `undefined`: it has none that is known. */
export function phaseOf(
  object: KubeObject,
): { readonly said: string; readonly good: boolean } | undefined {
  const { full, group } = kindOf(object);
  const known = PHASES[full] ?? PHASES[group];
  if (known === undefined) return undefined;
  const found = at(object, ...known.path);
  if (found === undefined || typeof found === 'object')
    return { said: '', good: known.good.test('') };
  const said = typeof found === 'string' ? found : JSON.stringify(found);
  return { said, good: known.good.test(said) };
}

/** Replicas that the resource lists itself, such as the instances of Crunchy's PostgresCluster. */
export function countsOf(
  object: KubeObject,
): readonly { readonly wanted: number; readonly ready: number }[] {
  const number = (from: unknown, ...path: readonly string[]): number | undefined => {
    const found = at(from, ...path);
    return typeof found === 'number' ? found : undefined;
  };
  const pair = (wanted: number | undefined, ready: number | undefined) =>
    wanted === undefined ? [] : [{ wanted, ready: ready ?? 0 }];
  return [
    ...listAt(object, 'status', 'instances').flatMap((one) =>
      pair(number(one, 'replicas'), number(one, 'readyReplicas')),
    ),
    ...(kindOf(object).full.startsWith('Cluster.postgresql.')
      ? pair(number(object, 'spec', 'instances'), number(object, 'status', 'readyInstances'))
      : []),
  ];
}
