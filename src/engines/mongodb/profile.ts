import {
  asDefault,
  type ConnectionInput,
  type EngineProfile,
  flag,
  isFrom,
  type PodContainer,
  type PodEnvVar,
  portOf,
  present,
  runsServer,
} from '../profile.ts';

/** MongoDB: the official images, Bitnami's and Percona's. */
export const mongodb: EngineProfile = {
  name: 'mongodb',
  image:
    /^(?:mongo|mongodb|mongodb-(?:community|enterprise)-server|mongodb-sharded|percona-server-mongodb)$/,
  program: 'mongod',
  imageSettings: /^MONGO(?:DB)?_(?:INITDB_|ROOT_|REPLICA_SET_|EXTRA_)/,
  // Routers and arbiters hold no data.
  other: ({ command = [], args = [], env = [] }) =>
    [...command, ...args].some((word) => /\bmongos\b/.test(word)) ||
    env.some(({ name, value }) => name === 'MONGODB_REPLICA_SET_MODE' && value === 'arbiter'),
  user: (image) => {
    if (/bitnami|percona/.test(image)) return { uid: 1001 };
    return isFrom(image, /(?:^|\/)mongo$/) ? { uid: 999, gid: 999 } : undefined;
  },
  data: (container, env) =>
    flag(container, 'dbpath', extraFlags(env)) ?? env.plain('MONGODB_VOLUME_DIR'),
  home: (container) => {
    const words = [...(container.command ?? []), ...(container.args ?? [])].join(' ');
    if (/(?:^|\s)(?:-f|--config)(?:=|\s)|\bmongod\.conf\b/.test(words)) return undefined;
    return isFrom(container.image ?? '', OFFICIAL) && runsServer(container, 'mongod')
      ? '/data/db'
      : undefined;
  },
  ownPlaces: /mongo/,
  places: ['/data/db', '/bitnami/mongodb', '/var/lib/mongodb', '/var/lib/mongo', '/data'],
  asksLogin: ({ command = [], args = [], volumeMounts = [] }) => {
    const words = [...command, ...args].join(' ');
    if (/--(?:auth|keyFile|clusterAuthMode)\b/.test(words))
      return 'its command turns on authentication';
    const keys = volumeMounts.find(({ mountPath }) => /key-?file|authentication/i.test(mountPath));
    return keys && `a key file is mounted at ${keys.mountPath}, so it asks for a login`;
  },
  connection: (input) => [...credentials(input), ...address(input)],
  address: (input) => address(input).map(asDefault),
};

const OFFICIAL = /^(?:library\/mongo|mongodb\/mongodb-community-server)$/;

const USERNAME = 'MONGODB_USERNAME';
const PASSWORD = 'MONGODB_PASSWORD';

function credentials({ container, env }: ConnectionInput): readonly PodEnvVar[] {
  const bitnami = env.take(PASSWORD, 'MONGODB_ROOT_PASSWORD');
  if (bitnami !== undefined) {
    return [env.take(USERNAME, 'MONGODB_ROOT_USER') ?? { name: USERNAME, value: 'root' }, bitnami];
  }
  const official = env.take(PASSWORD, 'MONGO_INITDB_ROOT_PASSWORD');
  const user = env.take(USERNAME, 'MONGO_INITDB_ROOT_USERNAME');
  if (official !== undefined && user !== undefined) return [user, official];
  if (!env.hasUnknown) return present(user, official);
  const [userName, passwordName] = unknownNames(container);
  return [user ?? env.refer(USERNAME, userName), official ?? env.refer(PASSWORD, passwordName)];
}

/** The names under which the image's start script expects its user and password in a Secret. */
function unknownNames({ image = '' }: PodContainer): readonly [string, string] {
  // The cluster administrator of Percona's operator may lock and may read the state of the replica set.
  if (/percona/.test(image))
    return ['MONGODB_CLUSTER_ADMIN_USER', 'MONGODB_CLUSTER_ADMIN_PASSWORD'];
  if (/bitnami/.test(image)) return ['MONGODB_ROOT_USER', 'MONGODB_ROOT_PASSWORD'];
  return ['MONGO_INITDB_ROOT_USERNAME', 'MONGO_INITDB_ROOT_PASSWORD'];
}

function extraFlags(env: ConnectionInput['env']): string {
  return env.plain('MONGODB_EXTRA_FLAGS') ?? '';
}

function address(input: ConnectionInput): readonly PodEnvVar[] {
  const port = portOf(input, ['MONGODB_PORT_NUMBER', 'MONGODB_PORT'], 'mongodb');
  return [{ name: 'MONGODB_URI', value: `mongodb://127.0.0.1:${port}/${tlsOptions(input)}` }];
}

/** TLS only where the server requires it. The server's own certificate serves as the client's. */
function tlsOptions({ container, env }: ConnectionInput): string {
  const of = (name: string): string | undefined => flag(container, name, extraFlags(env));
  if (of('tlsMode') !== 'requireTLS') return '';
  const options = new URLSearchParams({ tls: 'true', tlsAllowInvalidHostnames: 'true' });
  const [ca, key] = [of('tlsCAFile'), of('tlsCertificateKeyFile')];
  if (ca !== undefined) options.set('tlsCAFile', ca);
  if (key !== undefined) options.set('tlsCertificateKeyFile', key);
  return `?${options.toString()}`;
}
