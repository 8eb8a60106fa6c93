import { COPY_METHODS } from '../../../engines/engine.ts';
import {
  asDefault,
  type ConnectionInput,
  type EngineProfile,
  flag,
  portOf,
  present,
} from './profile.ts';
import type { EnvVar } from '../pod.ts';

/** Redis and Valkey, the official images and Bitnami's. */
export const redis: EngineProfile = {
  name: 'redis',
  image: /^(?:redis|valkey)(?:-cluster|-stack-server|-stack|-\d+)?$/,
  port: 6379,
  copies: COPY_METHODS,
  other: (container) =>
    [...(container.command ?? []), ...(container.args ?? [])].some((word) =>
      /(?:redis|valkey)-sentinel\b|(?:^|\s)--sentinel(?:\s|$)|start-sentinel/.test(word),
    ),
  user: (image) => {
    if (/bitnami/.test(image)) return { uid: 1001 };
    if (/stack/.test(image)) return undefined;
    return { uid: 999, gid: /alpine/.test(image) ? 1000 : 999 };
  },
  data: (container, env) =>
    flag(container, 'dir') ?? env.plain('REDIS_DATA_DIR', 'VALKEY_DATA_DIR'),
  places: [
    '/data',
    '/bitnami/redis/data',
    '/bitnami/valkey/data',
    '/bitnami/redis',
    '/bitnami/valkey',
    '/var/lib/redis',
    '/var/lib/valkey',
  ],
  connection: (input) => [...password(input), ...address(input)],
  address: defaultUrl,
  login: { username: 'REDIS_USERNAME', password: 'REDIS_PASSWORD' },
};

function password({ container, env }: ConnectionInput): readonly EnvVar[] {
  const named = env.take('REDIS_PASSWORD', 'REDIS_PASSWORD', 'VALKEY_PASSWORD', 'REDISCLI_AUTH');
  if (named !== undefined) return [named];
  const given = flag(container, 'requirepass');
  // $(NAME) is the kubelet's reference, $NAME and ${NAME} are the shell's.
  const variable = given === undefined ? undefined : /^\$[({]?(\w+)[)}]?$/.exec(given)?.[1];
  if (variable !== undefined) {
    const entry = env.take('REDIS_PASSWORD', variable);
    if (entry !== undefined) return [entry];
    return env.hasUnknown ? [env.refer('REDIS_PASSWORD', variable)] : [];
  }
  if (given !== undefined) return [{ name: 'REDIS_PASSWORD', value: given }];
  if (!env.hasUnknown) return [];
  const valkey = /valkey/.test(container.image ?? '');
  return [env.refer('REDIS_PASSWORD', valkey ? 'VALKEY_PASSWORD' : 'REDIS_PASSWORD')];
}

/** Host and port always: Kubernetes sets REDIS_PORT=tcp://… for a Service called redis. */
function address(input: ConnectionInput): readonly EnvVar[] {
  const { tls, port } = listener(input);
  return [
    { name: 'REDIS_HOST', value: '127.0.0.1' },
    { name: 'REDIS_PORT', value: port },
    ...(tls ? [{ name: 'REDIS_TLS', value: 'true' }, ...tlsFiles(input)] : []),
  ];
}

/** A Secret may hold REDIS_URL, beside which host and port would be refused. */
function defaultUrl(input: ConnectionInput): readonly EnvVar[] {
  const { tls, port } = listener(input);
  const url = { name: 'REDIS_URL', value: `${tls ? 'rediss' : 'redis'}://127.0.0.1:${port}` };
  return [url, ...(tls ? tlsFiles(input) : [])].map(asDefault);
}

const both = (name: string): string[] => [`REDIS_${name}`, `VALKEY_${name}`];

function listener(input: ConnectionInput): { readonly tls: boolean; readonly port: string } {
  const tls = /^(?:yes|true|1)$/i.test(input.env.plain(...both('TLS_ENABLED')) ?? '');
  const names = tls
    ? [...both('TLS_PORT_NUMBER'), ...both('TLS_PORT')]
    : [...both('PORT_NUMBER'), ...both('PORT')];
  return { tls, port: portOf(input, names, 6379) };
}

function tlsFiles({ env }: ConnectionInput): readonly EnvVar[] {
  const file = (target: string, name: string): EnvVar | undefined => {
    const value = env.plain(...both(name));
    return value === undefined ? undefined : { name: target, value };
  };
  return present(
    // The chain is verified; the certificate names the Service, not 127.0.0.1.
    { name: 'REDIS_TLS_VERIFY', value: 'ca' },
    file('REDIS_TLS_CA', 'TLS_CA_FILE'),
    file('REDIS_TLS_CERT', 'TLS_CERT_FILE'),
    file('REDIS_TLS_KEY', 'TLS_KEY_FILE'),
  );
}
