import { type KubeObject, listAt, textAt } from '../../objects/kube-object.ts';
import {
  type KnownResource,
  type LostByResource,
  namesAt,
  partAt,
  prefixed,
  suffixed,
  textsOf,
} from './known-resource.ts';
import { needsClaimAt } from './lost.ts';

const databases = { stage: 'databases' } as const;
const mongodb = { ...databases, engine: 'mongodb' } as const;
const redis = { ...databases, engine: 'redis' } as const;

function communitySecrets(name: string, object: KubeObject): readonly string[] {
  return listAt(object, 'spec', 'users').flatMap((one) => {
    const user = textAt(one, 'name') ?? '';
    const database = textAt(one, 'db') ?? 'admin';
    return [
      textAt(one, 'connectionStringSecretName') ?? `${name}-${database}-${user}`,
      ...textsOf(one as KubeObject, 'scramCredentialsSecretName').map(
        (scram) => `${scram}-scram-credentials`,
      ),
    ];
  });
}

/** Percona's replica sets and routers each have a Service. */
function psmdbServices(name: string, object?: KubeObject): readonly string[] {
  const sets = namesAt(object, 'spec', 'replsets');
  const all = sets.length === 0 ? ['rs0'] : sets;
  return [...all.map((set) => `${name}-${set}`), `${name}-mongos`, `${name}-cfg`];
}

/** The operators of OT-CONTAINER-KIT make no claim unless they are given a template of one. */
function opstree(kind: string, services: KnownResource['services']): readonly KnownResource[] {
  return ['redis.redis.opstreelabs.in', 'redis.opstreelabs.in'].map((group) => ({
    ...redis,
    group,
    kind,
    services,
    lost: needsClaimAt('(memory)', ['storage']),
  }));
}

function sentinel(group: string): KnownResource {
  const services = suffixed('-sentinel', '-sentinel-headless', '-sentinel-additional');
  return { ...databases, group, kind: 'RedisSentinel', engine: 'redis-sentinel', services };
}

/** Spotahome's Redis keeps its data on an emptyDir unless it is given a claim. */
function failoverLost(object: KubeObject): readonly LostByResource[] {
  return needsClaimAt('redis-data', ['redis', 'storage', 'persistentVolumeClaim'])(object);
}

export const STORES: readonly KnownResource[] = [
  {
    ...mongodb,
    group: 'mongodbcommunity.mongodb.com',
    kind: 'MongoDBCommunity',
    services: suffixed('-svc'),
    secrets: communitySecrets,
  },
  {
    ...mongodb,
    group: 'mongodb.com',
    kind: 'MongoDB',
    services: suffixed('-svc', '-svc-external'),
  },
  {
    ...mongodb,
    group: 'psmdb.percona.com',
    kind: 'PerconaServerMongoDB',
    services: psmdbServices,
    secrets: (name, object) => [
      textAt(object, 'spec', 'secrets', 'users') ?? `${name}-secrets`,
      ...suffixed('-ssl', '-ssl-internal', '-mongodb-keyfile')(name),
      `internal-${name}-users`,
    ],
  },
  {
    ...redis,
    group: 'databases.spotahome.com',
    kind: 'RedisFailover',
    services: prefixed('rfs-', 'rfr-', 'rfrm-', 'rfrs-'),
    lost: failoverLost,
  },
  ...opstree('Redis', suffixed('', '-headless', '-additional')),
  ...opstree('RedisReplication', suffixed('', '-headless', '-additional', '-master', '-replica')),
  ...opstree(
    'RedisCluster',
    suffixed('-leader', '-follower', '-leader-headless', '-follower-headless', '-master'),
  ),
  sentinel('redis.redis.opstreelabs.in'),
  sentinel('redis.opstreelabs.in'),
  {
    ...redis,
    group: 'app.redislabs.com',
    kind: 'RedisEnterpriseCluster',
    services: suffixed('', '-ui', '-prom'),
    secrets: (name) => [name],
  },
  {
    ...redis,
    group: 'app.redislabs.com',
    kind: 'RedisEnterpriseDatabase',
    services: suffixed('', '-headless'),
    secrets: prefixed('redb-'),
    partOf: partAt('RedisEnterpriseCluster', 'spec', 'redisEnterpriseCluster', 'name'),
  },
  {
    ...redis,
    group: 'hyperspike.io',
    kind: 'Valkey',
    services: suffixed('', '-headless'),
    secrets: (name) => [name],
    lost: needsClaimAt('(memory)', ['storage']),
  },
  {
    ...databases,
    group: 'dragonflydb.io',
    kind: 'Dragonfly',
    engine: 'dragonfly',
    services: (name) => [name],
    lost: needsClaimAt('(memory)', ['snapshot', 'persistentVolumeClaimSpec'], ['snapshot', 'dir']),
  },
  {
    ...databases,
    group: 'hazelcast.com',
    kind: 'Hazelcast',
    engine: 'hazelcast',
    services: (name) => [name],
    lost: needsClaimAt('(memory)', ['persistence']),
  },
  {
    ...databases,
    group: 'infinispan.org',
    kind: 'Infinispan',
    engine: 'infinispan',
    services: suffixed('', '-admin'),
    secrets: suffixed('-generated-secret', '-generated-operator-secret'),
  },
];
