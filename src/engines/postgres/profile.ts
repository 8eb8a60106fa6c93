import {
  type ConnectionInput,
  type EngineProfile,
  type ImageUser,
  type PodContainer,
  type PodEnvVar,
  portOf,
  asDefault,
  lastPart,
  present,
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
  user,
  data: (_, env) => env.plain('PGDATA', 'PGROOT', 'POSTGRESQL_DATA_DIR', 'POSTGRESQL_VOLUME_DIR'),
  places: [
    '/var/lib/postgresql/data',
    '/bitnami/postgresql',
    '/home/postgres/pgdata',
    '/pgdata',
    '/var/lib/pgsql/data',
    '/var/lib/postgresql',
  ],
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

/** Images whose user id differs from version to version. */
const OWN_IDS = /^cgr\.dev\/|chainguard|supabase|kartoza/;

function user(image: string): ImageUser | undefined {
  if (OWN_IDS.test(image)) return undefined;
  if (/bitnami/.test(image)) return { uid: 1001 };
  if (/spilo/.test(image)) return { uid: 101, gid: 103 };
  if (/crunchy|percona|cloudnative-pg|sclorg|rhel\d|\/postgresql-\d+/.test(image)) {
    return { uid: 26, gid: 26 };
  }
  if (/timescaledb-ha/.test(image)) return { uid: 1000, gid: 1000 };
  // The user id of Alpine's package. TimescaleDB's plain image is built on Alpine.
  if (/alpine|timescaledb/.test(lastPart(image))) return { uid: 70, gid: 70 };
  return { uid: 999, gid: 999 };
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
const OFFICIAL = /(?:^|\/)(?:postgres|postgis|pgvector|timescaledb)(?:[:@]|$)/;
const SERVER = /(?:^|\/)postgres$/;

function alone<C extends PodContainer>(container: C): C {
  const { command = [], args = [], image = '' } = container;
  const serves = SERVER.test(args[0] ?? '') || command.some((one) => SERVER.test(one));
  if (!serves && !(command.length === 0 && OFFICIAL.test(image))) return container;
  const given = args.length > 0 || command.length > 0 ? args : ['postgres'];
  return { ...container, args: [...given, ...ALONE] };
}
