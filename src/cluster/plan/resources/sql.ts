import { at, type KubeObject, listAt, textAt } from '../../objects/kube-object.ts';
import { type KnownResource, namesAt, suffixed, textsOf } from './known-resource.ts';

const databases = { stage: 'databases' } as const;
const postgres = { ...databases, engine: 'postgres' } as const;
const mysql = { ...databases, engine: 'mysql' } as const;
const pooler = { ...databases, pooler: true } as const;

/** CloudNativePG, and EDB's product of the same origin. */
function cloudNative(group: string): readonly KnownResource[] {
  return [
    {
      ...postgres,
      group,
      kind: 'Cluster',
      services: (name, object) => [
        ...suffixed('-rw', '-ro', '-r')(name),
        ...listAt(object, 'spec', 'managed', 'services', 'additional').flatMap((one) =>
          textsOf(one as KubeObject, 'serviceTemplate', 'metadata', 'name'),
        ),
      ],
      secrets: suffixed('-app', '-superuser', '-ca', '-server', '-replication'),
    },
    { ...pooler, group, kind: 'Pooler', engine: 'pgbouncer', services: (name) => [name] },
  ];
}

/** Crunchy's operator, and Percona's that is built on it. */
function crunchy(group: string, kind: string): KnownResource {
  return {
    ...postgres,
    group,
    kind,
    services: suffixed('-primary', '-replicas', '-ha', '-ha-config', '-pods', '-pgbouncer'),
    secrets: (name, object) => {
      const users = namesAt(object, 'spec', 'users');
      const all = users.length === 0 ? [name] : users;
      return [...all.map((user) => `${name}-pguser-${user}`), `${name}-cluster-cert`];
    },
  };
}

function zalandoSecrets(name: string, object: KubeObject): readonly string[] {
  const users = Object.keys(at(object, 'spec', 'users') ?? {});
  return ['postgres', 'standby', ...users, ...preparedUsers(object)].map((user) => {
    const dashed = user.replaceAll('_', '-');
    return `${dashed}.${name}.credentials.postgresql.acid.zalan.do`;
  });
}

/** The users that Zalando's operator makes for a prepared database, and for a schema of it. */
function preparedUsers(object: KubeObject): readonly string[] {
  const users = (prefix: string, of: unknown): readonly string[] =>
    at(of, 'defaultUsers') === true
      ? ['owner', 'writer', 'reader'].map((role) => `${prefix}_${role}_user`)
      : [];
  return Object.entries(at(object, 'spec', 'preparedDatabases') ?? {}).flatMap(([name, one]) => [
    ...users(name, one),
    ...Object.entries(at(one, 'schemas') ?? {}).flatMap(([schema, below]) =>
      users(`${name}_${schema}`, below),
    ),
  ]);
}

/** The Secrets that mariadb-operator makes where a reference asks it to. */
function mariadbSecrets(name: string, object: KubeObject): readonly string[] {
  const fields = ['rootPasswordSecretKeyRef', 'passwordSecretKeyRef'];
  const named = fields.flatMap((field) => {
    const made = at(object, 'spec', field, 'generate') !== false;
    return made ? textsOf(object, 'spec', field, 'name') : [];
  });
  return [...named, ...suffixed('-root', '-password', '-ca-bundle')(name)];
}

const MARIADB_GROUPS = ['k8s.mariadb.com', 'mariadb.mmontes.io', 'enterprise.mariadb.com'];

export const SQL: readonly KnownResource[] = [
  ...cloudNative('postgresql.cnpg.io'),
  ...cloudNative('postgresql.k8s.enterprisedb.io'),
  {
    ...postgres,
    group: 'acid.zalan.do',
    kind: 'postgresql',
    services: suffixed('', '-repl', '-config', '-pooler', '-pooler-repl'),
    secrets: zalandoSecrets,
  },
  crunchy('postgres-operator.crunchydata.com', 'PostgresCluster'),
  crunchy('pgv2.percona.com', 'PerconaPGCluster'),
  {
    ...postgres,
    group: 'kubegres.reactive-tech.io',
    kind: 'Kubegres',
    services: suffixed('', '-replica'),
  },
  {
    ...postgres,
    group: 'stackgres.io',
    kind: 'SGCluster',
    services: suffixed('', '-primary', '-replicas'),
    secrets: (name) => [name],
  },
  ...MARIADB_GROUPS.flatMap((group): readonly KnownResource[] => [
    {
      ...databases,
      group,
      kind: 'MariaDB',
      engine: 'mariadb',
      services: suffixed('', '-primary', '-secondary', '-internal'),
      secrets: mariadbSecrets,
    },
    {
      ...pooler,
      group,
      kind: 'MaxScale',
      engine: 'maxscale',
      services: suffixed('', '-gui', '-internal'),
      secrets: suffixed('-admin', '-client', '-server', '-monitor', '-sync'),
    },
  ]),
  {
    ...databases,
    group: 'pxc.percona.com',
    kind: 'PerconaXtraDBCluster',
    engine: 'percona-xtradb-cluster',
    services: suffixed('-pxc', '-pxc-unready', '-haproxy', '-haproxy-replicas', '-proxysql'),
    secrets: (name, object) => [
      textAt(object, 'spec', 'secretsName') ?? `${name}-secrets`,
      ...suffixed('-ssl', '-ssl-internal')(name),
      `internal-${name}`,
    ],
  },
  {
    ...mysql,
    group: 'ps.percona.com',
    kind: 'PerconaServerMySQL',
    services: suffixed('-mysql', '-mysql-primary', '-haproxy', '-router', '-orchestrator'),
    secrets: (name, object) => [
      textAt(object, 'spec', 'secretsName') ?? `${name}-secrets`,
      `${name}-ssl`,
    ],
  },
  {
    ...mysql,
    group: 'mysql.oracle.com',
    kind: 'InnoDBCluster',
    services: suffixed('', '-instances'),
    secrets: suffixed('-privsecrets', '-backup', '-router'),
  },
  {
    ...mysql,
    group: 'mysql.presslabs.org',
    kind: 'MysqlCluster',
    services: suffixed('-mysql', '-mysql-master', '-mysql-replicas'),
  },
  {
    ...mysql,
    group: 'moco.cybozu.com',
    kind: 'MySQLCluster',
    services: (name) => suffixed('', '-primary', '-replica')(`moco-${name}`),
    secrets: (name) => [`moco-${name}`],
  },
  { ...mysql, group: 'planetscale.com', kind: 'VitessCluster', services: suffixed('-vtgate') },
  {
    ...databases,
    group: 'pingcap.com',
    kind: 'TidbCluster',
    engine: 'tidb',
    services: suffixed('-tidb', '-pd', '-tidb-peer', '-pd-peer', '-tikv-peer'),
  },
  {
    ...databases,
    group: 'crdb.cockroachlabs.com',
    kind: 'CrdbCluster',
    engine: 'cockroach',
    services: suffixed('', '-public'),
  },
  {
    ...databases,
    group: 'yugabyte.com',
    kind: 'YBCluster',
    engine: 'yugabyte',
    services: suffixed('-yb-tservers', '-yb-masters'),
  },
];
