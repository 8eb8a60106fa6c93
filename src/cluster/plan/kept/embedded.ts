import { listAt } from '../../objects/kube-object.ts';
import { normalizePod } from '../../objects/normalize.ts';
import type { Pod } from '../../objects/pod.ts';
import { isFilled } from './filled.ts';
import { initContainers, isScratch, mountsOf, runningContainers } from './mounts.ts';

const DEPTH = 8;

/**
 * Whether a volume that a resource's spec defines is scratch or filled, by the pods in that spec. A volume that
 * none of their containers mounts is mounted by the operator, where nobody can see it.
 */
export function isHarmlessIn(spec: unknown, name: string): boolean {
  const pods = [...podsIn(spec, DEPTH)].filter((pod) => isDefined(pod, name));
  return (
    pods.length > 0 &&
    pods.every((pod) => {
      const mounts = mountsOf([...runningContainers(pod), ...initContainers(pod)], name);
      const volume = pod.spec?.volumes?.find((one) => one.name === name) ?? { name };
      return mounts.length > 0 && (isFilled(pod, name) || isScratch(pod, volume));
    })
  );
}

function isDefined({ spec }: Pod, name: string): boolean {
  return spec?.volumes?.some((one) => one.name === name) === true;
}

/** Every part of the spec that has volumes and containers, as a pod. */
function* podsIn(value: unknown, levels: number): Iterable<Pod> {
  if (typeof value !== 'object' || value === null || levels === 0) return;
  const [volumes, containers] = [listAt(value, 'volumes'), listAt(value, 'containers')];
  if (volumes.length > 0) yield normalizePod({ spec: { ...value, volumes, containers } });
  for (const one of Object.values(value)) yield* podsIn(one, levels - 1);
}
