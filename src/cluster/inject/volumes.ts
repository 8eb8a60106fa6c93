import { posix } from 'node:path';
import { RUN_DIR, STATE_DIR } from '../../defaults.ts';
import { isInside } from '../../lib/paths.ts';
import type { Database } from './find-database.ts';
import type { Environment } from './environment.ts';
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
/** Volume sources that hold configuration, not data. */
const CONFIGURATION = ['configMap', 'secret', 'projected', 'downwardAPI', 'image'];

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

function volumeOf(pod: Pod, name: string): Volume | undefined {
  return pod.spec?.volumes?.find((volume) => volume.name === name);
}

function holdsToken(volume: Volume | undefined): boolean {
  const projected = volume?.['projected'] as { sources?: readonly object[] } | undefined;
  return projected?.sources?.some((source) => 'serviceAccountToken' in source) ?? false;
}

/** Finds the mount of the data: by the database's own settings, else by the usual paths of its images. */
export function findData(
  pod: Pod,
  database: Database,
  env: Environment,
  mounts: readonly VolumeMount[],
): DataPlace | undefined {
  const { container, profile } = database;
  const data = mounts.filter(({ name }) => !isConfiguration(volumeOf(pod, name)));
  const declared = profile.data(container, env);
  const mount =
    mountHolding(data, declared) ??
    profile.places
      .map((place) => data.find(({ mountPath }) => cleanPath(mountPath) === place))
      .find(Boolean) ??
    profile.places.map((place) => mountHolding(data, place)).find(Boolean) ??
    onlyPersistent(pod, data);
  if (mount === undefined) return undefined;
  const root = cleanPath(mount.mountPath);
  const declaredPath = declared === undefined ? undefined : cleanPath(declared);
  // Without fsGroup the volume's root folder belongs to root, but the server's folder in it does not.
  const ownFolder = pod.spec?.securityContext?.fsGroup === undefined && startsAsRoot(pod, database);
  const path =
    declaredPath !== undefined && ownFolder && isInside(declaredPath, root) ? declaredPath : root;
  return {
    path,
    volume: mount.name,
    ephemeral: volumeOf(pod, mount.name)?.['emptyDir'] !== undefined,
    onHost: volumeOf(pod, mount.name)?.['hostPath'] !== undefined,
  };
}

function isConfiguration(volume: Volume | undefined): boolean {
  return volume !== undefined && CONFIGURATION.some((source) => volume[source] !== undefined);
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

/** A volume that the pod does not define comes from a claim template, and is persistent. */
function isPersistent(pod: Pod, { name }: VolumeMount): boolean {
  return volumeOf(pod, name)?.['emptyDir'] === undefined && !isConfiguration(volumeOf(pod, name));
}

function onlyPersistent(pod: Pod, mounts: readonly VolumeMount[]): VolumeMount | undefined {
  const persistent = mounts.filter((mount) => isPersistent(pod, mount));
  return persistent.length === 1 ? persistent[0] : undefined;
}

/** The names of the volumes that the database writes to and that outlive the pod. */
export function persistentVolumes(pod: Pod, mounts: readonly VolumeMount[]): readonly string[] {
  const writable = mounts.filter((mount) => mount.readOnly !== true && isPersistent(pod, mount));
  return [...new Set(writable.map(({ name }) => name))];
}

/** Whether a path is inside one of the mounts. */
export function isMounted(mounts: readonly VolumeMount[], path: string): boolean {
  return mountHolding(mounts, path) !== undefined;
}

export function cleanPath(path: string): string {
  const normal = posix.normalize(path);
  return normal.length > 1 ? normal.replace(/\/$/, '') : normal;
}
