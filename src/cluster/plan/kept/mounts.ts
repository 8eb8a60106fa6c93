import { cleanPath } from '../../objects/clean-path.ts';
import { isInside } from '../../../lib/paths.ts';
import { textAt } from '../../objects/kube-object.ts';
import { CONTAINER, INIT_CONTAINER } from '../../objects/names.ts';
import type { Container, Pod, Volume, VolumeMount } from '../../objects/pod.ts';

/** Folders whose content is made anew by whoever needs it. */
const SCRATCH = ['/tmp', '/run', '/var/run', '/dev/shm', '/var/cache', '/proc', '/sys', '/dev'];

/** What a node has of its own, whatever runs on it. */
const OF_NODE = [
  ...SCRATCH,
  '/etc/localtime',
  '/etc/machine-id',
  '/etc/os-release',
  '/etc/ssl',
  '/lib/modules',
  '/usr',
];

export function isScratchPath(path: string): boolean {
  return SCRATCH.some((one) => isInside(cleanPath(path), one));
}

/** One container's mount of a volume. */
export interface Mounted {
  readonly container: Container;
  readonly mount: VolumeMount;
}

/** The containers that run as long as the pod: also init containers that are restarted. */
export function runningContainers({ spec }: Pod): readonly Container[] {
  return own([
    ...(spec?.containers ?? []),
    ...(spec?.initContainers ?? []).filter(({ restartPolicy }) => restartPolicy === 'Always'),
  ]);
}

/** The containers that end before the others start. */
export function initContainers({ spec }: Pod): readonly Container[] {
  return own(
    (spec?.initContainers ?? []).filter(({ restartPolicy }) => restartPolicy !== 'Always'),
  );
}

/** Without those of quiesce. */
function own(containers: readonly Container[]): readonly Container[] {
  return containers.filter(({ name }) => name !== CONTAINER && name !== INIT_CONTAINER);
}

export function mountsOf(containers: readonly Container[], volume: string): readonly Mounted[] {
  return containers.flatMap((container) =>
    (container.volumeMounts ?? [])
      .filter(({ name }) => name === volume)
      .map((mount) => ({ container, mount })),
  );
}

export function isWritten({ mount }: Mounted): boolean {
  return mount.readOnly !== true;
}

/** Whether nothing in the volume matters: by where it is mounted, or because nobody writes there. */
export function isScratch(pod: Pod, volume: Volume): boolean {
  const running = mountsOf(runningContainers(pod), volume.name);
  const all = [...running, ...mountsOf(initContainers(pod), volume.name)];
  const host = textAt(volume, 'hostPath', 'path');
  if (host !== undefined && OF_NODE.some((one) => isInside(cleanPath(host), one))) return true;
  const written = all.some(isWritten);
  if (!written && (host !== undefined || volume['emptyDir'] !== undefined)) return true;
  return running.length > 0 && running.every(({ mount }) => isScratchPath(mount.mountPath));
}
