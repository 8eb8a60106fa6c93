import { at, listAt, textAt } from '../objects/kube-object.ts';
import type { Container, PodSpec, Volume } from '../objects/pod.ts';

/** Where a copied volume's data comes from: what a container needs of the pod is kept, and nothing outside. */
export interface CopiedVolumes {
  readonly volumes: readonly Volume[];
  /** Names of volumes that are empty in the copy: they hold what no snapshot holds. */
  readonly empty: readonly string[];
}

/** Projected parts that need no token of a service account. */
const HARMLESS = ['configMap', 'secret', 'downwardAPI'];
const KEPT = ['configMap', 'secret', 'downwardAPI', 'emptyDir'];

/**
 * The volumes that these containers mount. A claim is kept only where a copy of it was made; hostPaths, network
 * file systems and inline volumes are production's own, and are empty in the copy.
 */
export function copiedVolumes(
  spec: PodSpec,
  containers: readonly Container[],
  copied: ReadonlySet<string>,
): CopiedVolumes {
  const mounted = new Set(
    containers.flatMap(({ volumeMounts = [], ...rest }) => [
      ...volumeMounts.map(({ name }) => name),
      ...listAt(rest, 'volumeDevices').flatMap((one) => textAt(one, 'name') ?? []),
    ]),
  );
  const empty: string[] = [];
  const volumes = (spec.volumes ?? [])
    .filter(({ name }) => mounted.has(name))
    .map((volume): Volume => {
      const kept = copyOf(volume, copied);
      if (kept !== undefined) return kept;
      empty.push(volume.name);
      return { name: volume.name, emptyDir: {} };
    });
  return { volumes, empty };
}

function copyOf(volume: Volume, copied: ReadonlySet<string>): Volume | undefined {
  const claim = textAt(volume, 'persistentVolumeClaim', 'claimName');
  if (claim !== undefined) return copied.has(claim) ? volume : undefined;
  if (KEPT.some((one) => volume[one] !== undefined)) return volume;
  if (volume['projected'] === undefined) return undefined;
  const sources = listAt(volume, 'projected', 'sources').filter((one) =>
    HARMLESS.some((key) => at(one, key) !== undefined),
  );
  return { ...volume, projected: { ...(volume['projected'] as object), sources } };
}

/** The claims that a pod mounts, by the names of its volumes. */
export function claimsOf(spec: PodSpec | undefined): ReadonlyMap<string, string> {
  return new Map(
    (spec?.volumes ?? []).flatMap((one) => {
      const claim = textAt(one, 'persistentVolumeClaim', 'claimName');
      return claim === undefined ? [] : [[one.name, claim] as const];
    }),
  );
}
