import { COPY } from '../../defaults.ts';
import { isInside } from '../../lib/paths.ts';
import { Environment } from '../inject/environment.ts';
import { cleanPath } from '../objects/clean-path.ts';
import type { PodFacts } from '../inventory/pod-facts.ts';
import type { Container, Pod, VolumeMount } from '../objects/pod.ts';
import { isScratch, isWritten, mountsOf, runningContainers } from './kept/mounts.ts';
import { volumeLoss } from './kept/volumes.ts';

/**
 * The names of the volumes that hold what the pod's sidecar freezes. None: the data is in no volume, but in
 * the container's own file system. `undefined`: the objects do not say.
 *
 * What the sidecar looks at counts before what the database's container seems to use: at each freeze it makes
 * sure that the server's data is there, and, for `copy: snapshot`, nowhere else.
 */
export function dataVolumesOf(facts: PodFacts): readonly string[] | undefined {
  const { pod, sidecar, native, database, data, elsewhere } = facts;
  const own = sidecar ?? native;
  const dir = own && new Environment(own).plain('QUIESCE_DATA_DIR');
  const seen = own && dir !== undefined ? volumesAt(own, dir, facts.copy) : [];
  const [first] = seen;
  const shared = database === undefined || mounts(database.container, first ?? '');
  if (first !== undefined && shared) return seen;
  if (data !== undefined) return [data.volume];
  if (elsewhere !== undefined) return [];
  if (database !== undefined && !storesOf(pod, [database.container]).length) return [];
  const stores = storesOf(
    pod,
    runningContainers(pod).filter((one) => one !== own),
  );
  return database === undefined && stores.length === 1 ? stores : undefined;
}

/** The volume at a path, and, where a copy may be of several volumes, those mounted below it. */
function volumesAt(
  { volumeMounts = [] }: Container,
  dir: string,
  copy: string = COPY,
): readonly string[] {
  const path = cleanPath(dir);
  const depth = ({ mountPath }: VolumeMount): number => cleanPath(mountPath).length;
  const [holder] = volumeMounts
    .filter(({ mountPath }) => isInside(path, cleanPath(mountPath)))
    .toSorted((a, b) => depth(b) - depth(a));
  if (holder === undefined) return [];
  const below = volumeMounts.filter(
    (one) => copy !== 'snapshot' && one !== holder && isInside(cleanPath(one.mountPath), path),
  );
  return [...new Set([holder, ...below].map(({ name }) => name))];
}

function mounts({ volumeMounts = [] }: Container, volume: string): boolean {
  return volumeMounts.some(({ name }) => name === volume);
}

/** The volumes in which these containers may keep something. One that the pod lacks is of a claim template. */
function storesOf(pod: Pod, containers: readonly Container[]): readonly string[] {
  const names = containers.flatMap(({ volumeMounts = [] }) => volumeMounts.map(({ name }) => name));
  return [...new Set(names)].filter((name) => {
    const volume = pod.spec?.volumes?.find((one) => one.name === name) ?? { name };
    const claimed =
      volume['persistentVolumeClaim'] !== undefined || Object.keys(volume).length === 1;
    const written = mountsOf(containers, name).some(isWritten);
    if (!written || isScratch(pod, volume)) return false;
    return claimed || volumeLoss(volume) !== undefined;
  });
}
