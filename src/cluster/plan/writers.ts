import { at, listAt, textAt } from '../objects/kube-object.ts';
import { nativeOf, sidecarOf } from '../inventory/pod-facts.ts';
import type { Container, Pod, Volume } from '../objects/pod.ts';
import { mountsOf } from './kept/mounts.ts';

/**
 * The containers that may write to a volume, without the sidecar itself.
 *
 * @param started its init containers have ended
 */
export function writersOf(pod: Pod, volume: Volume, started = true): readonly string[] {
  if (at(volume, 'persistentVolumeClaim', 'readOnly') === true) return [];
  const init = (pod.spec?.initContainers ?? []).filter(
    ({ restartPolicy }) => !started || restartPolicy === 'Always',
  );
  const own = [sidecarOf(pod), nativeOf(pod)];
  // Those that kubectl debug adds.
  const added = listAt(pod, 'spec', 'ephemeralContainers') as readonly Container[];
  return [...(pod.spec?.containers ?? []), ...init, ...added]
    .filter((one) => !own.includes(one) && mayWrite(one, volume.name))
    .map(({ name }) => name);
}

function mayWrite(container: Container, volume: string): boolean {
  const device = listAt(container, 'volumeDevices').some((one) => textAt(one, 'name') === volume);
  return device || mountsOf([container], volume).some(({ mount }) => mount.readOnly !== true);
}

/** Whether containers mount the volume, and none of them may write to it. */
export function isOnlyRead(pod: Pod, volume: string): boolean {
  const found = pod.spec?.volumes?.find(({ name }) => name === volume) ?? { name: volume };
  const containers = pod.spec?.containers ?? [];
  return mountsOf(containers, volume).length > 0 && writersOf(pod, found).length === 0;
}
