import { at, type KubeObject, labelsOf, listAt, textAt } from '../../objects/kube-object.ts';
import { type KnownResource, namesAt, prefixed, suffixed } from './known-resource.ts';
import { lostIfZero, needsClaimAt } from './lost.ts';

const messaging = { stage: 'messaging' } as const;
const infrastructure = { stage: 'infrastructure' } as const;

/** Each listener that is reached from outside, or as a cluster IP of its own, has a bootstrap Service. */
function strimziServices(name: string, object?: KubeObject): readonly string[] {
  const own = listAt(object, 'spec', 'kafka', 'listeners').flatMap((one) =>
    textAt(one, 'type') === 'internal' ? [] : (textAt(one, 'name') ?? []),
  );
  return [
    ...suffixed('-kafka-bootstrap', '-kafka-brokers', '-zookeeper-client')(name),
    ...own.map((listener) => `${name}-kafka-${listener}-bootstrap`),
  ];
}

/** Confluent's components are reached by their own names. */
const CONFLUENT: readonly (readonly [
  kind: string,
  stage: KnownResource['stage'],
  engine?: string,
])[] = [
  ['Zookeeper', 'infrastructure', 'zookeeper'],
  ['KRaftController', 'infrastructure', 'kafka'],
  ['Kafka', 'messaging', 'kafka'],
  ['Connect', 'applications'],
  ['SchemaRegistry', 'applications'],
  ['KafkaRestProxy', 'applications'],
  ['KsqlDB', 'applications'],
  ['ControlCenter', 'applications'],
];

export const MESSAGING: readonly KnownResource[] = [
  {
    ...messaging,
    group: 'kafka.strimzi.io',
    kind: 'Kafka',
    engine: 'kafka',
    services: strimziServices,
    secrets: suffixed(
      '-cluster-ca-cert',
      '-cluster-ca',
      '-clients-ca-cert',
      '-clients-ca',
      '-kafka-brokers',
      '-cluster-operator-certs',
    ),
  },
  {
    ...messaging,
    group: 'kafka.strimzi.io',
    kind: 'KafkaNodePool',
    engine: 'kafka',
    services: () => [],
    partOf: (object) => {
      const name = labelsOf(object)['strimzi.io/cluster'];
      return name === undefined ? undefined : { kind: 'Kafka', name };
    },
  },
  ...CONFLUENT.map(([kind, stage, engine]): KnownResource => ({
    group: 'platform.confluent.io',
    kind,
    stage,
    ...(engine !== undefined && { engine }),
    services: suffixed('', '-bootstrap-lb'),
  })),
  {
    ...messaging,
    group: 'cluster.redpanda.com',
    kind: 'Redpanda',
    engine: 'redpanda',
    services: suffixed('', '-external'),
    secrets: suffixed('-users', '-default-cert', '-external-cert'),
  },
  {
    ...messaging,
    group: 'rabbitmq.com',
    kind: 'RabbitmqCluster',
    engine: 'rabbitmq',
    services: suffixed('', '-nodes'),
    secrets: suffixed('-default-user', '-erlang-cookie'),
    lost: lostIfZero('persistence', 'storage'),
  },
  {
    ...messaging,
    group: 'nats.io',
    kind: 'NatsCluster',
    engine: 'nats',
    services: suffixed('', '-mgmt'),
  },
  ...['EMQX', 'EmqxEnterprise', 'EmqxBroker'].map((kind): KnownResource => ({
    ...messaging,
    group: 'apps.emqx.io',
    kind,
    engine: 'emqx',
    services: suffixed('', '-dashboard', '-listeners'),
  })),
  {
    ...messaging,
    group: 'broker.amq.io',
    kind: 'ActiveMQArtemis',
    engine: 'activemq',
    services: (name, object) => [
      ...suffixed('-hdls-svc', '-ping-svc', '-wconsj-0-svc')(name),
      ...namesAt(object, 'spec', 'acceptors').map((acceptor) => `${name}-${acceptor}-0-svc`),
    ],
    secrets: suffixed('-credentials-secret'),
    lost: (object) =>
      at(object, 'spec', 'deploymentPlan', 'persistenceEnabled') === true
        ? []
        : [{ volume: '(container)', why: 'persistenceEnabled is not set, so it has no volume' }],
  },
  {
    ...infrastructure,
    group: 'zookeeper.pravega.io',
    kind: 'ZookeeperCluster',
    engine: 'zookeeper',
    services: suffixed('-client', '-headless', '-admin-server'),
  },
  ...['etcd.database.coreos.com', 'operator.etcd.io', 'etcd.aenix.io'].map(
    (group): KnownResource => ({
      ...infrastructure,
      group,
      kind: 'EtcdCluster',
      engine: 'etcd',
      services: suffixed('', '-client', '-headless'),
      ...(group === 'etcd.database.coreos.com' && {
        lost: needsClaimAt('etcd-data', ['pod', 'persistentVolumeClaimSpec']),
      }),
      ...(group === 'operator.etcd.io' && { lost: needsClaimAt('(container)', ['storageSpec']) }),
    }),
  ),
  {
    ...infrastructure,
    group: 'clickhouse-keeper.altinity.com',
    kind: 'ClickHouseKeeperInstallation',
    engine: 'clickhouse-keeper',
    services: prefixed('keeper-'),
    lost: needsClaimAt('(container)', ['templates', 'volumeClaimTemplates']),
  },
  {
    ...infrastructure,
    group: 'vault.banzaicloud.com',
    kind: 'Vault',
    engine: 'vault',
    services: suffixed('', '-configurer'),
    secrets: suffixed('-unseal-keys', '-tls'),
  },
];
