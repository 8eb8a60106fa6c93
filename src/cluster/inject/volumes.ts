import { RUN_DIR, STATE_DIR } from '../../defaults.ts';
import { isInside } from '../../lib/paths.ts';
import type { Database } from './find-database.ts';
import { cleanPath } from '../objects/clean-path.ts';
import type { Environment } from './environment.ts';
import { isConfiguration, isPersistent, volumeOf } from './pod-volumes.ts';
import { RUN_VOLUME, STATE_VOLUME } from '../objects/names.ts';
import type { Pod, Volume, VolumeMount } from '../objects/pod.ts';
import { startsAsRoot } from './security-context.ts';

const TOKEN_PATH = '/var/run/secrets/kubernetes.io/serviceaccount';
/** A mount at one of these paths would hide the sidecar's own program. */
const PROGRAM_PATHS = new Set([
  '/',
  '/bin',
  '/etc',
  '/lib',
  '/lib64',
  '/nodejs',
  '/usr',
  '/usr/bin',
  '/usr/lib',
]);
/** The location of the data, as the sidecar sees it. */
export interface DataPlace {
  /** QUIESCE_DATA_DIR. */
  readonly path: string;
  readonly volume: string;
  /** Whether it is an `emptyDir`, which no snapshot contains. */
  readonly ephemeral: boolean;
  /** Whether it is a `hostPath`, which Velero cannot copy. */
  readonly onHost: boolean;
}

/** The added volumes: one for the socket, one for the journal, which must outlive the container. */
export const OWN_VOLUMES: readonly Volume[] = [RUN_VOLUME, STATE_VOLUME].map((name) => ({
  name,
  emptyDir: {},
}));

/** The mounts of our own volumes, and one that hides the pod's API token from the sidecar. */
export const OWN_MOUNTS: readonly VolumeMount[] = [
  { name: RUN_VOLUME, mountPath: RUN_DIR },
  { name: STATE_VOLUME, mountPath: STATE_DIR },
  { name: RUN_VOLUME, mountPath: TOKEN_PATH, subPath: 'no-token', readOnly: true },
];

/** The database's mounts, without service-account tokens and paths that the sidecar needs itself. */
export function databaseMounts(pod: Pod, { container }: Database): readonly VolumeMount[] {
  const own = new Set(OWN_MOUNTS.map(({ mountPath }) => mountPath));
  return (container.volumeMounts ?? [])
    .filter(({ name, mountPath }) => {
      const path = cleanPath(mountPath);
      return !own.has(path) && !PROGRAM_PATHS.has(path) && !holdsToken(volumeOf(pod, name));
    })
    .map(withoutPropagation);
}

/** Only a privileged container may use bidirectional propagation. */
function withoutPropagation(mount: VolumeMount): VolumeMount {
  if (mount.mountPropagation !== 'Bidirectional') return mount;
  const { mountPropagation: _, ...rest } = mount;
  return rest;
}

function holdsToken(volume: Volume | undefined): boolean {
  const projected = volume?.['projected'] as { sources?: readonly object[] } | undefined;
  return projected?.sources?.some((source) => 'serviceAccountToken' in source) ?? false;
}

/**
 * Finds the mount of the data: by annotation, by the database's own settings, else by the usual paths of its
 * images.
 *
 * @param given the path that an annotation names
 */
export function findData(
  pod: Pod,
  database: Database,
  env: Environment,
  mounts: readonly VolumeMount[],
  given?: string,
): DataPlace | undefined {
  if (dataElsewhere(pod, database, env, mounts, given) !== undefined) return undefined;
  const data = dataMounts(pod, mounts);
  const { places } = database.profile;
  const declared = given ?? declaredPath(database, env);
  const mount =
    mountHolding(data, declared) ??
    places.map((place) => data.find((one) => cleanPath(one.mountPath) === place)).find(Boolean) ??
    places.map((place) => mountHolding(data, place)).find(Boolean) ??
    onlyPersistent(pod, data);
  if (mount === undefined) return undefined;
  const root = cleanPath(mount.mountPath);
  // Without fsGroup the volume's root folder belongs to root, but the server's folder in it does not.
  const ownFolder = pod.spec?.securityContext?.fsGroup === undefined && startsAsRoot(pod, database);
  const exact = declared !== undefined && (given !== undefined || ownFolder);
  return {
    path: exact && isInside(declared, root) ? declared : root,
    volume: mount.name,
    ephemeral: volumeOf(pod, mount.name)?.['emptyDir'] !== undefined,
    onHost: volumeOf(pod, mount.name)?.['hostPath'] !== undefined,
  };
}

/** Where the server keeps its data, if that is known and no volume is mounted there. */
export function dataElsewhere(
  pod: Pod,
  database: Database,
  env: Environment,
  mounts: readonly VolumeMount[],
  given?: string,
): string | undefined {
  const path = given ?? declaredPath(database, env) ?? database.profile.home(database.container);
  return path === undefined || isMounted(dataMounts(pod, mounts), path) ? undefined : path;
}

/** The absolute path that the database's own settings name. */
function declaredPath({ container, profile }: Database, env: Environment): string | undefined {
  const path = profile.data(container, env);
  return path?.startsWith('/') === true ? cleanPath(path) : undefined;
}

function dataMounts(pod: Pod, mounts: readonly VolumeMount[]): readonly VolumeMount[] {
  return mounts.filter(({ name }) => !isConfiguration(volumeOf(pod, name)));
}

/** The mount that contains a path: the deepest one at or above it. */
function mountHolding(
  mounts: readonly VolumeMount[],
  path: string | undefined,
): VolumeMount | undefined {
  if (path === undefined) return undefined;
  return mounts
    .filter(({ mountPath }) => isInside(cleanPath(path), cleanPath(mountPath)))
    .toSorted((a, b) => cleanPath(b.mountPath).length - cleanPath(a.mountPath).length)[0];
}

function onlyPersistent(pod: Pod, mounts: readonly VolumeMount[]): VolumeMount | undefined {
  const persistent = mounts.filter((mount) => isPersistent(pod, mount));
  return persistent.length === 1 ? persistent[0] : undefined;
}

/** What no server starts from: logs, and copies that somebody makes of the data. */
const NOT_DATA = /(?:^|[-_./])(?:logs?|dumps?|backups?|exports?|archives?)(?:$|[-_./])/i;
/** PostgreSQL's log of writes, and MongoDB's, are data. */
const OF_WRITES = /wal|journal/i;

function holdsData({ name, mountPath }: VolumeMount): boolean {
  const text = `${name} ${cleanPath(mountPath)}`;
  const parts = [name, cleanPath(mountPath)];
  return OF_WRITES.test(text) || !parts.some((one) => NOT_DATA.test(one));
}

/**
 * The names of the volumes on which the database keeps data and that outlive the pod. Volumes for logs and
 * dumps are left out, but for the one that has the data.
 */
export function persistentVolumes(
  pod: Pod,
  mounts: readonly VolumeMount[],
  data: DataPlace | undefined,
): readonly string[] {
  const writable = mounts.filter((mount) => mount.readOnly !== true && isPersistent(pod, mount));
  const kept = writable.filter((mount) => mount.name === data?.volume || holdsData(mount));
  return [...new Set(kept.map(({ name }) => name))];
}

/** Whether a path is inside one of the mounts. */
export function isMounted(mounts: readonly VolumeMount[], path: string): boolean {
  return mountHolding(mounts, path) !== undefined;
}
