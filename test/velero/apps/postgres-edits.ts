import { readFileSync } from 'node:fs';
import { roleSqlPath } from '../../../src/testbed/processes.ts';
import { asUser } from './edits.ts';
import type { ClaimTemplate, Edit, Manifest } from './manifest.ts';

/** The Secret with the sidecar's own login. */
export const LOGIN = { secret: 'quiesce-login', username: 'quiesce', password: 'least-privileged' };
const INIT_FOLDER = '/docker-entrypoint-initdb.d';

/** The sidecar has the role of roles/postgres.sql, created at the database's first start. */
export const leastPrivileged: Edit = (manifest) => {
  const { secret, username, password } = LOGIN;
  const name = { name: secret };
  manifest.add({ ...SECRET, metadata: name, stringData: { username, password } });
  const sql = `${readFileSync(roleSqlPath(), 'utf8')}\nALTER ROLE ${username} PASSWORD '${password}';\n`;
  initScript(manifest, '10-role.sql', sql);
  manifest.annotate({ 'quiesce.dev/credentials-secret': secret });
};

/** A login that the database refuses, also from its own pod. */
export const wrongPassword: Edit = (manifest) => {
  leastPrivileged(manifest);
  manifest.find('Secret', LOGIN.secret).stringData = {
    username: LOGIN.username,
    password: 'wrong',
  };
  // As initdb makes it, and the official image leaves it, the server trusts whoever comes from its own pod.
  manifest.database.env?.push({
    name: 'POSTGRES_INITDB_ARGS',
    value: '--auth-host=scram-sha-256',
  });
};

export interface VolumesOptions {
  /** `quiesce.dev/copy`; default `volumes`. */
  readonly copy?: string;
  /** The claims' label `velero.io/volume-group`: their snapshots are cut together. */
  readonly group?: string;
  /** Further annotations of the pod. */
  readonly annotations?: Readonly<Record<string, string>>;
}

/** WAL on a volume of its own. */
export const walVolume =
  (options: VolumesOptions = {}): Edit =>
  (manifest) => {
    furtherVolume(manifest, 'wal', '/var/lib/postgresql/wal', options);
    // Not the volume's root: that has lost+found, and initdb needs an empty folder.
    const args = '--waldir=/var/lib/postgresql/wal/pg_wal';
    manifest.database.env?.push({ name: 'POSTGRES_INITDB_ARGS', value: args });
  };

/** The name of the tablespace, and the volume of it. */
export const TABLESPACE = 'fast';

/**
 * A tablespace on a volume of its own, with the application's database in it. Without {@link walVolume} the
 * WAL shares a volume with the data, and a freeze for `copy: volumes` is refused.
 */
export const tablespaceVolume =
  (options: VolumesOptions = {}): Edit =>
  (manifest) => {
    const mount = '/var/lib/postgresql/fast';
    furtherVolume(manifest, TABLESPACE, mount, options);
    const script = `mkdir -p ${mount}/space\nchmod 700 ${mount}/space\npsql -v ON_ERROR_STOP=1 -U postgres -d postgres -c "CREATE TABLESPACE ${TABLESPACE} LOCATION '${mount}/space'"\n`;
    initScript(manifest, '20-tablespace.sh', script);
  };

/** What people paste: hooks that start and end a backup in two sessions. */
export const pastedHooks: Edit = (manifest) =>
  manifest.annotate(psqlHooks("SELECT pg_backup_start('velero', true)", 'SELECT pg_backup_stop()'));

/** Hooks of the user's own that have nothing to do with quiesce: the webhook adds none of its own. */
export const ownPsqlHooks: Edit = (manifest) =>
  manifest.annotate(psqlHooks('CHECKPOINT', 'SELECT 1'));

function psqlHooks(pre: string, post: string): Record<string, string> {
  const command = (sql: string): string => JSON.stringify(['psql', '-U', 'postgres', '-c', sql]);
  return {
    'pre.hook.backup.velero.io/container': 'postgres',
    'pre.hook.backup.velero.io/command': command(pre),
    'post.hook.backup.velero.io/container': 'postgres',
    'post.hook.backup.velero.io/command': command(post),
  };
}

const SECRET = { apiVersion: 'v1', kind: 'Secret' } as const;

/** Adds a script that the image's entrypoint runs when it has made the database. */
function initScript(manifest: Manifest, file: string, content: string): void {
  const present = manifest.objects.find(
    ({ kind, metadata }) => kind === 'Secret' && metadata.name === 'init',
  );
  if (present) {
    present.stringData = { ...present.stringData, [file]: content };
    return;
  }
  // A Secret, not a ConfigMap: the script has a password.
  manifest.add({ ...SECRET, metadata: { name: 'init' }, stringData: { [file]: content } });
  (manifest.template.spec.volumes ??= []).push({ name: 'init', secret: { secretName: 'init' } });
  manifest.database.volumeMounts.push({ name: 'init', mountPath: INIT_FOLDER, readOnly: true });
}

function furtherVolume(
  manifest: Manifest,
  name: string,
  mountPath: string,
  { copy = 'volumes', group, annotations = {} }: VolumesOptions,
): void {
  const { template, workload, database } = manifest;
  const [data] = workload.spec.volumeClaimTemplates;
  if (!data) throw new Error('the StatefulSet has no claims');
  const claim: ClaimTemplate = { metadata: { name }, spec: structuredClone(data.spec) };
  workload.spec.volumeClaimTemplates.push(claim);
  database.volumeMounts.push({ name, mountPath });
  // The entrypoint makes only PGDATA the server's; the root of a further volume belongs to root.
  template.spec.securityContext = { ...asUser, ...template.spec.securityContext };
  manifest.annotate({ 'quiesce.dev/copy': copy, ...annotations });
  if (group === undefined) return;
  for (const { metadata } of workload.spec.volumeClaimTemplates)
    metadata.labels = { ...metadata.labels, 'velero.io/volume-group': group };
}
