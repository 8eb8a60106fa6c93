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
 * PostgreSQL's images. Names and ids are from the images' and operators' own sources; see "Where
 * operators keep things" in docs/engines/postgres-facts.md.
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
  // A Secret may hold any of libpq's names: these count where it does not.
  address: (input) =>
    [{ name: 'PGUSER', value: ADMIN }, ...place(input), { name: 'PGDATABASE', value: ADMIN }].map(
      asDefault,
    ),
};

/** Their users have ids of their own, which differ from version to version. */
const OWN_IDS = /^cgr\.dev\/|chainguard|supabase|kartoza/;

function user(image: string): ImageUser | undefined {
  if (OWN_IDS.test(image)) return undefined;
  if (/bitnami/.test(image)) return { uid: 1001 };
  if (/spilo/.test(image)) return { uid: 101, gid: 103 };
  if (/crunchy|percona|cloudnative-pg|sclorg|rhel\d|\/postgresql-\d+/.test(image)) {
    return { uid: 26, gid: 26 };
  }
  if (/timescaledb-ha/.test(image)) return { uid: 1000, gid: 1000 };
  // Alpine's packages; TimescaleDB's plain image is built on it.
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
  // Bitnami's and Red Hat's, where an application has a user of its own: this is the superuser's.
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
  // Either may be in a ConfigMap or Secret that only the kubelet reads.
  const unknown = [env.refer('PGUSER', 'POSTGRES_USER'), { name: 'PGUSER_DEFAULT', value: ADMIN }];
  return [
    ...(named === undefined ? unknown : [named]),
    password ?? env.refer('PGPASSWORD', 'POSTGRES_PASSWORD'),
  ];
}

/** The Unix socket where it is in a folder that both see, as operators arrange it; else loopback. */
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

/** `-p 5433`, `-c port=5433`, `--port=5433`, in words or in a line for a shell. */
function portFlag({ command = [], args = [] }: PodContainer): string | undefined {
  const text = [...command, ...args].join('\n');
  return /(?:^|\s)(?:-p\s*|-c\s*port\s*=\s*|--port(?:=|\s+))(\d+)(?=\s|["']|$)/.exec(text)?.[1];
}
