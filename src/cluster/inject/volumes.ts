import { posix } from 'node:path';
import { RUN_DIR, STATE_DIR } from '../../defaults.ts';
import type { Database } from './find-database.ts';
import type { Environment } from './environment.ts';
import { RUN_VOLUME, STATE_VOLUME } from '../objects/names.ts';
import type { Pod, Volume, VolumeMount } from '../objects/pod.ts';
import { startsAsRoot } from './security-context.ts';

const TOKEN_PATH = '/var/run/secrets/kubernetes.io/serviceaccount';
/** A mount here would hide the program itself from its container. */
const OCCUPIED = new Set([
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
/** Sources that hold configuration, not data. */
const CONFIGURATION = ['configMap', 'secret', 'projected', 'downwardAPI', 'image'];

/** Where the data is, for the sidecar. */
export interface DataPlace {
  /** QUIESCE_DATA_DIR. */
  readonly path: string;
  readonly volume: string;
  /** An `emptyDir`, which no snapshot holds. */
  readonly ephemeral: boolean;
  /** A `hostPath`, which Velero copies by no method. */
  readonly onHost: boolean;
}

/** The volumes that are added: for the socket, and for the journal, which outlives the container. */
export const OWN_VOLUMES: readonly Volume[] = [RUN_VOLUME, STATE_VOLUME].map((name) => ({
  name,
  emptyDir: {},
}));

/** The mounts at our own places, and one that keeps the pod's API token away from the sidecar. */
export const OWN_MOUNTS: readonly VolumeMount[] = [
  { name: RUN_VOLUME, mountPath: RUN_DIR },
  { name: STATE_VOLUME, mountPath: STATE_DIR },
  { name: RUN_VOLUME, mountPath: TOKEN_PATH, subPath: 'no-token', readOnly: true },
];

/** The database's mounts without service-account tokens. */
export function databaseMounts(pod: Pod, { container }: Database): readonly VolumeMount[] {
  const own = new Set(OWN_MOUNTS.map(({ mountPath }) => mountPath));
  return (container.volumeMounts ?? [])
    .filter(({ name, mountPath }) => {
      const path = clean(mountPath);
      return !own.has(path) && !OCCUPIED.has(path) && !holdsToken(volumeOf(pod, name));
    })
    .map(withoutPropagation);
}

/** Only a privileged container may pass mounts on to others. */
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

/** Finds the data among the mounts: where the database says it is, else where its images keep it. */
export function findData(
  pod: Pod,
  database: Database,
  env: Environment,
  mounts: readonly VolumeMount[],
): DataPlace | undefined {
  const { container, profile } = database;
  const data = mounts.filter(({ name }) => !isConfiguration(volumeOf(pod, name)));
  const told = profile.data(container, env);
  const mount =
    mountAbove(data, told) ??
    profile.places
      .map((place) => data.find(({ mountPath }) => clean(mountPath) === place))
      .find(Boolean) ??
    profile.places.map((place) => mountAbove(data, place)).find(Boolean) ??
    onlyPersistent(pod, data);
  if (mount === undefined) return undefined;
  const root = clean(mount.mountPath);
  const below = told === undefined ? undefined : clean(told);
  // Without fsGroup the volume's own folder belongs to root; the server's folder in it does not.
  const ownFolder = pod.spec?.securityContext?.fsGroup === undefined && startsAsRoot(pod, database);
  const path = below !== undefined && ownFolder && isWithin(below, root) ? below : root;
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

/** The mount that holds a path: the deepest one at or above it. */
function mountAbove(
  mounts: readonly VolumeMount[],
  path: string | undefined,
): VolumeMount | undefined {
  if (path === undefined) return undefined;
  return mounts
    .filter(({ mountPath }) => isWithin(clean(path), clean(mountPath)))
    .toSorted((a, b) => clean(b.mountPath).length - clean(a.mountPath).length)[0];
}

/** A volume that the pod does not define comes from a claim template. */
function isPersistent(pod: Pod, { name }: VolumeMount): boolean {
  return volumeOf(pod, name)?.['emptyDir'] === undefined && !isConfiguration(volumeOf(pod, name));
}

function onlyPersistent(pod: Pod, mounts: readonly VolumeMount[]): VolumeMount | undefined {
  const persistent = mounts.filter((mount) => isPersistent(pod, mount));
  return persistent.length === 1 ? persistent[0] : undefined;
}

/** How many volumes with a life of their own the database writes to. */
export function persistentVolumes(pod: Pod, mounts: readonly VolumeMount[]): readonly string[] {
  const writable = mounts.filter((mount) => mount.readOnly !== true && isPersistent(pod, mount));
  return [...new Set(writable.map(({ name }) => name))];
}

/** Whether a folder lies in something that is mounted. */
export function isMounted(mounts: readonly VolumeMount[], path: string): boolean {
  return mountAbove(mounts, path) !== undefined;
}

export function clean(path: string): string {
  const normal = posix.normalize(path);
  return normal.length > 1 ? normal.replace(/\/$/, '') : normal;
}

export function isWithin(path: string, folder: string): boolean {
  return path === folder || path.startsWith(folder === '/' ? '/' : `${folder}/`);
}
