import {
  type ConnectionInput,
  type EngineProfile,
  type ImageUser,
  type PodContainer,
  type PodEnvVar,
  portOf,
  asDefault,
  isFrom,
  lastPart,
  present,
  runsServer,
} from '../profile.ts';

const ADMIN = 'postgres';

/**
 * PostgreSQL's images. Names and ids come from the sources of the images and the operators; see
 * "Where operators keep things" in docs/engines/postgres-facts.md.
 */
export const postgres: EngineProfile = {
  name: 'postgres',
  image:
    /^(?:postgres(?:ql)?(?:-\d[\w.-]*)?|postgresql-repmgr|postgis|pgvector|timescaledb(?:-ha)?|spilo(?:-\d+)?|(?:crunchy|percona|edb)-postgres\w*(?:-\w+)*|percona-distribution-postgresql|cnpg-\w+)$/,
  program: 'postgres|postmaster',
  imageSettings:
    /^(?:POSTGRES(?:QL)?_(?:USER|USERNAME|PASSWORD|DB|DATABASE|INITDB_ARGS|HOST_AUTH_METHOD)|PGDATA)(?:_FILE)?$/,
  user,
  home,
  ownPlaces: /postgres|pgsql|pgdata/,
  data: (container, env) =>
    folderFlag(container) ??
    env.plain('PGDATA', 'PGROOT', 'POSTGRESQL_DATA_DIR', 'POSTGRESQL_VOLUME_DIR'),
  places: [
    '/var/lib/postgresql/data',
    '/bitnami/postgresql',
    '/home/postgres/pgdata',
    '/pgdata',
    '/var/lib/pgsql/data',
    '/var/lib/postgresql',
  ],
  asksLogin: ({ image = '', env = [] }) => {
    const valueOf = (name: string) => env.find((one) => one.name === name)?.value ?? '';
    const method = valueOf('POSTGRES_HOST_AUTH_METHOD');
    if (method === 'trust' || /yes|true/i.test(valueOf('ALLOW_EMPTY_PASSWORD'))) return undefined;
    if (/scram|md5|password/.test(method + valueOf('POSTGRES_INITDB_ARGS'))) {
      return 'its pg_hba.conf asks for one';
    }
    // The official image trusts every connection from its own pod.
    return OF_THE_OFFICIAL.test(lastPart(image))
      ? undefined
      : 'its image asks for one, and its environment has none';
  },
  connection: (input) => [
    ...credentials(input),
    ...place(input),
    { name: 'PGDATABASE', value: ADMIN },
  ],
  // A Secret may set any of libpq's names. These values apply where it does not.
  address: (input) =>
    [{ name: 'PGUSER', value: ADMIN }, ...place(input), { name: 'PGDATABASE', value: ADMIN }].map(
      asDefault,
    ),
  alone,
};

/** `-D DIR` or `--pgdata=DIR` of a server's command. */
function folderFlag({ command = [], args = [] }: PodContainer): string | undefined {
  const text = [...command, ...args].join('\n');
  return /(?:^|\s)(?:-D\s*|--pgdata[=\s]\s*)["']?(\/[^\s"']+)/.exec(text)?.[1];
}

/** The official image, and those built on it that keep its folders. */
const OFFICIAL =
  /^(?:library\/postgres|postgis\/postgis|imresamu\/postgis|pgvector\/pgvector|timescale\/timescaledb)$/;

/** From 18 on, the images have a folder for each major version, so that one volume can hold two. */
function home(container: PodContainer): string | undefined {
  const { image = '' } = container;
  if (!isFrom(image, OFFICIAL) || !runsServer(container, 'postgres')) return undefined;
  const tag = lastPart(image).split(':')[1] ?? '';
  const major = Number(/(?:^|[-.])pg(\d+)/.exec(tag)?.[1] ?? /^(\d+)/.exec(tag)?.[1]);
  if (!(major >= 9)) return undefined;
  return major < 18 ? '/var/lib/postgresql/data' : `/var/lib/postgresql/${major}/docker`;
}

/** Images whose user id differs from version to version. */
const OWN_IDS = /^cgr\.dev\/|chainguard|supabase|kartoza/;

/** Names of the official image and of those built on it. Anything else may have any user. */
const OF_THE_OFFICIAL = /^(?:postgres|postgis|pgvector|timescaledb)(?:[:@]|$)/;

function user(image: string): ImageUser | undefined {
  if (OWN_IDS.test(image)) return undefined;
  if (/bitnami/.test(image)) return { uid: 1001 };
  if (/spilo/.test(image)) return { uid: 101, gid: 103 };
  if (/crunchy|percona|cloudnative-pg|sclorg|rhel\d|\/postgresql-\d+/.test(image)) {
    return { uid: 26, gid: 26 };
  }
  if (/timescaledb-ha/.test(image)) return { uid: 1000, gid: 1000 };
  // The user id of Alpine's package. TimescaleDB's plain image is built on Alpine.
  const last = lastPart(image);
  if (!OF_THE_OFFICIAL.test(last)) return undefined;
  return /alpine|timescaledb/.test(last) ? { uid: 70, gid: 70 } : { uid: 999, gid: 999 };
}

function credentials({ env }: ConnectionInput): readonly PodEnvVar[] {
  const admin: PodEnvVar = { name: 'PGUSER', value: ADMIN };
  if (env.has('PGPASSWORD_SUPERUSER')) {
    return present(
      env.take('PGUSER', 'PGUSER_SUPERUSER') ?? admin,
      env.take('PGPASSWORD', 'PGPASSWORD_SUPERUSER'),
      // Spilo's pg_hba.conf refuses plain connections over TCP.
      { name: 'PGSSLMODE', value: 'require' },
    );
  }
  // Bitnami and Red Hat: where the application has its own user, these hold the superuser's
  // password.
  const superuser = env.take(
    'PGPASSWORD',
    'POSTGRES_POSTGRES_PASSWORD',
    'POSTGRESQL_POSTGRES_PASSWORD',
    'POSTGRESQL_ADMIN_PASSWORD',
  );
  if (superuser !== undefined) return [admin, superuser];
  const named = env.take(
    'PGUSER',
    'POSTGRES_USER',
    'POSTGRESQL_USERNAME',
    'POSTGRESQL_USER',
    'POSTGRES_USERNAME',
    'PGUSER',
  );
  const password = env.take(
    'PGPASSWORD',
    'POSTGRES_PASSWORD',
    'POSTGRESQL_PASSWORD',
    'POSTGRES_PASS',
    'PGPASSWORD',
  );
  if (!env.hasUnknown) return present(named ?? admin, password);
  // User and password may be in a ConfigMap or Secret that only the kubelet reads.
  const unknown = [env.refer('PGUSER', 'POSTGRES_USER'), { name: 'PGUSER_DEFAULT', value: ADMIN }];
  return [
    ...(named === undefined ? unknown : [named]),
    password ?? env.refer('PGPASSWORD', 'POSTGRES_PASSWORD'),
  ];
}

/**
 * The Unix socket, if its folder is mounted in both containers, as operators arrange it; else
 * loopback.
 */
function place(input: ConnectionInput): readonly PodEnvVar[] {
  const folder = input.env.plain('PGHOST');
  const host = folder?.startsWith('/') && input.shared(folder) ? folder : '127.0.0.1';
  const names = ['PGPORT', 'POSTGRESQL_PORT_NUMBER', 'POSTGRES_PORT_NUMBER'];
  const port = portOf(input, names, 'postgres', portFlag(input.container));
  return [
    { name: 'PGHOST', value: host },
    { name: 'PGPORT', value: port },
  ];
}

/** `-p 5433`, `-c port=5433` or `--port=5433`, as separate arguments or in a shell command line. */
function portFlag({ command = [], args = [] }: PodContainer): string | undefined {
  const text = [...command, ...args].join('\n');
  return /(?:^|\s)(?:-p\s*|-c\s*port\s*=\s*|--port(?:=|\s+))(\d+)(?=\s|["']|$)/.exec(text)?.[1];
}

/** An archive command would write into production's archive; a standby would ask its primary. */
const ALONE = ['-c', 'archive_mode=off', '-c', 'primary_conninfo='];
/** Images whose entrypoint passes arguments on to the server. */
const PASSES_ARGUMENTS = /(?:^|\/)(?:postgres|postgis|pgvector|timescaledb)(?:[:@]|$)/;
const SERVER = /(?:^|\/)postgres$/;

function alone<C extends PodContainer>(container: C): C {
  const { command = [], args = [], image = '' } = container;
  const serves = SERVER.test(args[0] ?? '') || command.some((one) => SERVER.test(one));
  if (!serves && !(command.length === 0 && PASSES_ARGUMENTS.test(image))) return container;
  const given = args.length > 0 || command.length > 0 ? args : ['postgres'];
  return { ...container, args: [...given, ...ALONE] };
}
