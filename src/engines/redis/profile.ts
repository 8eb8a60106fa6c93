import {
  asDefault,
  type ConnectionInput,
  type EngineProfile,
  flag,
  isFrom,
  lastPart,
  type PodContainer,
  type PodEnvironment,
  type PodEnvVar,
  portOf,
  present,
  runsServer,
} from '../profile.ts';

/** Redis and Valkey: the official images and Bitnami's. */
export const redis: EngineProfile = {
  name: 'redis',
  image: /^(?:redis|valkey)(?:-cluster|-stack-server|-stack|-\d+)?$/,
  program: '(?:redis|valkey)-server',
  imageSettings: /^(?:REDIS|VALKEY)_(?:ARGS|EXTRA_FLAGS|REPLICATION_MODE|AOF_ENABLED)/,
  other: (container) =>
    [...(container.command ?? []), ...(container.args ?? [])].some((word) =>
      /(?:redis|valkey)-sentinel\b|(?:^|\s)--sentinel(?:\s|$)|start-sentinel/.test(word),
    ),
  user: (image) => {
    if (/bitnami|sclorg|rhel\d/.test(image)) return { uid: 1001 };
    if (/stack|^cgr\.dev\/|chainguard/.test(image)) return undefined;
    if (!/^(?:redis|valkey)(?:[:@]|$)/.test(lastPart(image))) return undefined;
    return { uid: 999, gid: /alpine/.test(lastPart(image)) ? 1000 : 999 };
  },
  data: (container, env) =>
    flag(container, 'dir', moreFlags(env)) ?? env.plain('REDIS_DATA_DIR', 'VALKEY_DATA_DIR'),
  home: (container) => {
    const words = [...(container.command ?? []), ...(container.args ?? [])].join(' ');
    if (/\.conf\b/.test(words) || !runsServer(container, '(?:redis|valkey)-server'))
      return undefined;
    return isFrom(container.image ?? '', OFFICIAL) ? '/data' : undefined;
  },
  ownPlaces: /redis|valkey/,
  places: [
    '/data',
    '/bitnami/redis/data',
    '/bitnami/valkey/data',
    '/bitnami/redis',
    '/bitnami/valkey',
    '/var/lib/redis',
    '/var/lib/valkey',
  ],
  asksLogin: ({ command = [], args = [] }) => {
    const words = [...command, ...args].join(' ');
    return /--?(?:requirepass|aclfile)\b/.test(words)
      ? 'its command sets a password or an ACL file that the sidecar cannot read'
      : undefined;
  },
  savesNothing,
  oftenCache: true,
  connection: (input) => [...password(input), ...address(input)],
  address: defaultUrl,
  alone,
};

/** Neither snapshots nor an append-only file, by arguments or by variables of the image. */
function savesNothing(container: PodContainer, env: PodEnvironment): string | undefined {
  const words = [...(container.command ?? []), ...(container.args ?? []), moreFlags(env)];
  const text = words.map((word) => (word === '' ? '""' : word)).join(' ');
  const aof = [...text.matchAll(/--appendonly(?:=|\s+)["'\\]*(yes|no)/g)].at(-1)?.[1];
  const saves = [...text.matchAll(/--save(?:=|\s+)(["'\\]*)\s*(\d*)/g)];
  const isOff = saves.length > 0 && saves.every(([, , seconds]) => seconds === '');
  const isBitnami = /bitnami/.test(container.image ?? '');
  const byImage = env.plain('REDIS_AOF_ENABLED', 'VALKEY_AOF_ENABLED');
  const aofOn = aof === 'yes' || (aof === undefined && isBitnami && !/^no$/i.test(byImage ?? ''));
  return isOff && !aofOn
    ? 'its arguments turn off snapshots (--save "") and it has no append-only file'
    : undefined;
}

const OFFICIAL = /^(?:library\/redis|valkey\/valkey|redis\/redis-stack(?:-server)?)$/;

function password(input: ConnectionInput): readonly PodEnvVar[] {
  const { container, env } = input;
  const named = env.take(
    'REDIS_PASSWORD',
    'REDIS_PASSWORD',
    'VALKEY_PASSWORD',
    'REDISCLI_AUTH',
    // The chart redis-ha, whose init container writes it into the configuration.
    'AUTH',
  );
  if (named !== undefined) return [named];
  const given = flag(container, 'requirepass', moreFlags(env));
  if (given === undefined) return unknownPassword(container, env);
  // The kubelet expands $(NAME); the shell expands $NAME, ${NAME} and ${NAME:-default}.
  const variable = /^\$(?:\((\w+)\)|(\w+)|\{(\w+)(?::?[-?=][^}]*)?\})$/.exec(given);
  const name = variable?.slice(1).find((one) => one !== undefined);
  if (name !== undefined) {
    const entry = env.take('REDIS_PASSWORD', name);
    if (entry !== undefined) return [entry];
    return env.hasUnknown ? [env.refer('REDIS_PASSWORD', name)] : [];
  }
  const file = passwordFile(container);
  if (file !== undefined)
    return input.shared(file) ? [{ name: 'REDIS_PASSWORD_FILE', value: file }] : [];
  // Only the shell knows what any other expression expands to.
  return /[$`]/.test(given) ? [] : [{ name: 'REDIS_PASSWORD', value: given }];
}

function unknownPassword({ image = '' }: PodContainer, env: PodEnvironment): readonly PodEnvVar[] {
  if (!env.hasUnknown) return [];
  return [env.refer('REDIS_PASSWORD', /valkey/.test(image) ? 'VALKEY_PASSWORD' : 'REDIS_PASSWORD')];
}

/** The file in `--requirepass "$(cat FILE)"`, as a shell reads it. */
function passwordFile({ command = [], args = [] }: PodContainer): string | undefined {
  const text = [...command, ...args].join('\n');
  return /--requirepass(?:=|\s+)["']?\$\((?:cat\s+|<\s*)["']?(\/[^\s"')]+)["']?\s*\)/.exec(
    text,
  )?.[1];
}

/** Flags that Redis Stack, Bitnami and Valkey images take from environment variables. */
function moreFlags(env: PodEnvironment): string {
  const names = ['REDIS_ARGS', 'REDIS_EXTRA_FLAGS', 'VALKEY_EXTRA_FLAGS'];
  return names.map((name) => env.written(name)).join('\n');
}

/** Always sets host and port: Kubernetes sets REDIS_PORT=tcp://… for a Service called redis. */
function address(input: ConnectionInput): readonly PodEnvVar[] {
  const { tls, port } = listener(input);
  return [
    { name: 'REDIS_HOST', value: '127.0.0.1' },
    { name: 'REDIS_PORT', value: port },
    ...(tls ? [{ name: 'REDIS_TLS', value: 'true' }, ...tlsFiles(input)] : []),
  ];
}

/** A URL, since a Secret may hold REDIS_URL, and the sidecar refuses host and port together with it. */
function defaultUrl(input: ConnectionInput): readonly PodEnvVar[] {
  const { tls, port } = listener(input);
  const url = { name: 'REDIS_URL', value: `${tls ? 'rediss' : 'redis'}://127.0.0.1:${port}` };
  return [url, ...(tls ? tlsFiles(input) : [])].map(asDefault);
}

const both = (name: string): string[] => [`REDIS_${name}`, `VALKEY_${name}`];

function listener(input: ConnectionInput): { readonly tls: boolean; readonly port: string } {
  const { container, env } = input;
  const given = (name: string): string | undefined => flag(container, name, moreFlags(env));
  const tls =
    /^(?:yes|true|1)$/i.test(env.plain(...both('TLS_ENABLED')) ?? '') ||
    // Where the server has a plain port too, the sidecar uses that one.
    (given('port') === '0' && given('tls-port') !== undefined);
  const names = tls
    ? [...both('TLS_PORT_NUMBER'), ...both('TLS_PORT')]
    : [...both('PORT_NUMBER'), ...both('PORT')];
  return { tls, port: portOf(input, names, 'redis', given(tls ? 'tls-port' : 'port')) };
}

function tlsFiles({ container, env }: ConnectionInput): readonly PodEnvVar[] {
  const file = (target: string, name: string, flagged: string): PodEnvVar | undefined => {
    const value = env.plain(...both(name)) ?? flag(container, flagged, moreFlags(env));
    return value === undefined ? undefined : { name: target, value };
  };
  return present(
    // Verify the chain only: the certificate names the Service, not 127.0.0.1.
    { name: 'REDIS_TLS_VERIFY', value: 'ca' },
    file('REDIS_TLS_CA', 'TLS_CA_FILE', 'tls-ca-cert-file'),
    file('REDIS_TLS_CERT', 'TLS_CERT_FILE', 'tls-cert-file'),
    file('REDIS_TLS_KEY', 'TLS_KEY_FILE', 'tls-key-file'),
  );
}

const PASSES_ARGUMENTS = /(?:^|\/)(?:redis|valkey)(?:[:@]|$)/;
const SERVER = /(?:^|\/)(?:redis|valkey)-server$/;
/** With its nodes.conf it would greet the members of production's cluster under the name of one of them. */
const ALONE = ['--cluster-enabled', 'no'];

function alone<C extends PodContainer>(given: C): C {
  const container = withoutPrimary(given);
  const { command = [], args = [], image = '' } = container;
  const serves = [...command, ...args].some((one) => SERVER.test(one));
  if (!serves && !(command.length === 0 && PASSES_ARGUMENTS.test(image))) return container;
  // A file or a flag may come first; what comes last counts.
  const server = /valkey/.test(image) ? 'valkey-server' : 'redis-server';
  const first = args.length > 0 || command.length > 0 ? args : [server];
  return { ...container, args: [...first, ...ALONE] };
}

/** Without `--replicaof HOST PORT` as words of their own. */
function withoutPrimary<C extends PodContainer>(container: C): C {
  const cut = (words: readonly string[] | undefined): readonly string[] | undefined => {
    const index = words?.findIndex((one) => /^--(?:replicaof|slaveof)$/.test(one)) ?? -1;
    return index < 0 ? words : words?.toSpliced(index, 3);
  };
  const [command, args] = [cut(container.command), cut(container.args)];
  return {
    ...container,
    ...(command !== undefined && { command }),
    ...(args !== undefined && { args }),
  };
}
