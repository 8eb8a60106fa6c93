import type { Container, Pod, Volume, VolumeMount } from '../objects/pod.ts';

/** Volume sources that hold configuration, not data. */
const CONFIGURATION = ['configMap', 'secret', 'projected', 'downwardAPI', 'image'];

export function volumeOf(pod: Pod, name: string): Volume | undefined {
  return pod.spec?.volumes?.find((volume) => volume.name === name);
}

export function isConfiguration(volume: Volume | undefined): boolean {
  return volume !== undefined && CONFIGURATION.some((source) => volume[source] !== undefined);
}

/** A volume that the pod does not define comes from a claim template, and is persistent. */
export function isPersistent(pod: Pod, { name }: VolumeMount): boolean {
  return volumeOf(pod, name)?.['emptyDir'] === undefined && !isConfiguration(volumeOf(pod, name));
}

/** The mounts of a container that it writes to and that outlive the pod. */
export function lastingMounts(pod: Pod, { volumeMounts = [] }: Container): readonly VolumeMount[] {
  return volumeMounts.filter((mount) => mount.readOnly !== true && isPersistent(pod, mount));
}
