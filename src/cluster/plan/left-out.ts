import type { Catalog } from '../inventory/catalog.ts';
import { type KubeObject, labelsOf, textAt } from '../objects/kube-object.ts';
import type { Workload } from '../inventory/workloads.ts';
import { claimsOf, podsOf, viewsOf } from './claims.ts';
import type { LeftOut } from './document.ts';
import type { MemberClaim } from './planned.ts';

/** Velero leaves out every object with this label. */
export const EXCLUDE = 'velero.io/exclude-from-backup';

export function isExcluded(object: Parameters<typeof labelsOf>[0]): boolean {
  return labelsOf(object)[EXCLUDE] === 'true';
}

/** A pod, or all pods of a template whose names are not known, with the claims that it mounts. */
interface Use {
  readonly namespace: string;
  readonly pod: string | undefined;
  readonly excluded: boolean;
  readonly claims: readonly string[];
}

/**
 * What a backup leaves out by {@link EXCLUDE}. A claim, if it, its volume, or every pod that mounts it has
 * the label: one that a pod without the label writes to is kept. A pod, if all of its claims are left out:
 * freezing it would serve nothing.
 */
export class Exclusions {
  readonly #catalog: Catalog;
  /** Whether each pod that mounts a claim has the label, by namespace and claim. */
  readonly #mounts = new Map<string, boolean>();
  readonly #uses = new Map<Workload, readonly Use[]>();

  constructor(catalog: Catalog, workloads: readonly Workload[]) {
    this.#catalog = catalog;
    for (const workload of workloads) {
      const uses = usesOf(catalog, workload);
      this.#uses.set(workload, uses);
      for (const { namespace, claims, excluded } of uses) {
        for (const claim of claims) {
          const key = `${namespace}/${claim}`;
          this.#mounts.set(key, excluded && (this.#mounts.get(key) ?? true));
        }
      }
    }
  }

  /** `undefined`: nothing of these workloads is left out. */
  of(
    workloads: readonly Workload[],
    namespace: string,
    claims: readonly MemberClaim[],
  ): LeftOut | undefined {
    const left = new Set(
      claims.filter((one) => this.#leaves(one, namespace)).map(({ name }) => name),
    );
    const pods = workloads
      .flatMap((one) => this.#uses.get(one) ?? [])
      .filter((use) =>
        use.claims.length === 0 ? use.excluded : use.claims.every((one) => left.has(one)),
      )
      .flatMap(({ pod }) => pod ?? []);
    return left.size === 0 && pods.length === 0 ? undefined : { pods, claims: [...left] };
  }

  #leaves({ name, object }: MemberClaim, namespace: string): boolean {
    const volume = textAt(object, 'spec', 'volumeName');
    return (
      isExcluded(object) ||
      (volume !== undefined && isExcluded(this.#volume(volume))) ||
      this.#mounts.get(`${namespace}/${name}`) === true
    );
  }

  #volume(name: string): KubeObject | undefined {
    return this.#catalog.getGlobal('PersistentVolume', name);
  }
}

function usesOf(catalog: Catalog, workload: Workload): readonly Use[] {
  const { namespace } = workload;
  const views = viewsOf(workload);
  const live = views.flatMap(({ pod, live: name }): Use[] => {
    if (name === undefined) return [];
    const volumes = pod.spec?.volumes ?? [];
    const claims = volumes.flatMap(
      (one) => textAt(one, 'persistentVolumeClaim', 'claimName') ?? [],
    );
    return [{ namespace, pod: name, excluded: isExcluded(pod), claims }];
  });
  const known = new Set(live.flatMap(({ pod }) => pod ?? []));
  // Of a pod that should run and does not, the template says what it would be.
  const absent = podsOf(workload).filter((one) => !known.has(one));
  if (live.length > 0 && absent.length === 0) return live;
  const templates = workload.views.filter((view) => view.live === undefined);
  const excluded = templates.length > 0 && templates.every(({ pod }) => isExcluded(pod));
  const claims = claimsOf(catalog, workload).filter(({ source }) => source !== 'ephemeral');
  const shared = claims.filter(({ source }) => source === 'volume').map(({ name }) => name);
  if (absent.length === 0) {
    return [{ namespace, pod: undefined, excluded, claims: claims.map(({ name }) => name) }];
  }
  const own = new Set(claims.map(({ name }) => name));
  const expected = absent.map((pod): Use => {
    const made = workload.claimTemplates.map(({ metadata }) => `${metadata?.name ?? ''}-${pod}`);
    return { namespace, pod, excluded, claims: [...shared, ...made.filter((one) => own.has(one))] };
  });
  return [...live, ...expected];
}
