import type { Catalog } from '../inventory/catalog.ts';
import { at, type KubeObject, namespaceOf, textAt } from '../objects/kube-object.ts';
import type { View, Workload } from '../inventory/workloads.ts';
import type { MemberClaim } from './planned.ts';

const CLAIM = 'PersistentVolumeClaim';

/** How many pods the workload is meant to have; `undefined`: its nodes decide. */
export function replicasOf({ kind, object }: Workload): number | undefined {
  if (kind === 'Pod') return 1;
  if (kind === 'DaemonSet') return undefined;
  const replicas = at(object, 'spec', 'replicas');
  return typeof replicas === 'number' ? replicas : 1;
}

/** The views of the running pods, or of the template where none runs. */
export function viewsOf({ views }: Workload): readonly View[] {
  const live = views.filter((view) => view.live !== undefined);
  return live.length > 0 ? live : views;
}

/** The names of its pods: those that run, and those whose names the workload fixes, running or not. */
export function podsOf(workload: Workload): readonly string[] {
  const live = livePods(workload);
  if (workload.kind === 'StatefulSet') {
    return [...new Set([...live, ...ordinalPods(workload)])].toSorted(byNumber);
  }
  return workload.kind === 'Pod' && live.length === 0 ? [workload.name] : live.toSorted(byNumber);
}

function livePods({ views }: Workload): readonly string[] {
  return views.flatMap(({ live }) => live ?? []);
}

/** Names of pods that a workload in a cluster is meant to have, and has not. Of other kinds their number. */
export function missingPods(workload: Workload): {
  readonly names: readonly string[];
  readonly count: number;
} {
  if (workload.object.metadata?.uid === undefined) return { names: [], count: 0 };
  if (workload.kind === 'StatefulSet') {
    const live = new Set(livePods(workload));
    const names = ordinalPods(workload).filter((one) => !live.has(one));
    return { names, count: names.length };
  }
  const staying = workload.views.filter(({ live, leaving }) => live !== undefined && !leaving);
  const wanted = replicasOf(workload) ?? 0;
  return { names: [], count: Math.max(0, wanted - staying.length) };
}

function ordinalPods(workload: Workload): readonly string[] {
  const start = at(workload.object, 'spec', 'ordinals', 'start');
  const first = typeof start === 'number' ? start : 0;
  const count = Math.min(replicasOf(workload) ?? 0, 10_000);
  return Array.from({ length: count }, (_, index) => `${workload.name}-${first + index}`);
}

/** `db-2` before `db-10`. */
export function byNumber(a: string, b: string): number {
  return a.localeCompare(b, 'en', { numeric: true });
}

/** The claims behind the volumes of its pods, each once. */
export function claimsOf(catalog: Catalog, workload: Workload): readonly MemberClaim[] {
  const find = (name: string) => catalog.get(CLAIM, workload.namespace, name);
  const templates = new Map(
    workload.claimTemplates.map((one) => [one.metadata?.name ?? '', one] as const),
  );
  const named = viewsOf(workload).flatMap((view) =>
    (view.pod.spec?.volumes ?? []).flatMap((volume): MemberClaim[] => {
      const name = textAt(volume, 'persistentVolumeClaim', 'claimName');
      // A StatefulSet's own claim replaces a volume of the same name in its template.
      if (name !== undefined && (view.live !== undefined || !templates.has(volume.name))) {
        const source = templates.has(volume.name) ? 'template' : 'volume';
        return [{ name, volume: volume.name, source, object: find(name) }];
      }
      if (at(volume, 'ephemeral') === undefined) return [];
      const pods = view.live === undefined ? podsOf(workload) : [view.live];
      const template = at(volume, 'ephemeral', 'volumeClaimTemplate') as KubeObject | undefined;
      return pods.map((pod) => {
        const claim = `${pod}-${volume.name}`;
        return {
          name: claim,
          volume: volume.name,
          source: 'ephemeral',
          object: find(claim) ?? template,
        };
      });
    }),
  );
  const made = [...templates].flatMap(([volume, template]) =>
    templateClaims(catalog, workload, volume).map((name): MemberClaim => ({
      name,
      volume,
      source: 'template',
      object: find(name) ?? template,
    })),
  );
  const byName = new Map([...made, ...named].map((one) => [one.name, one]));
  return [...byName.values()].toSorted((a, b) => byNumber(a.name, b.name));
}

/** The claims of the pods, or, where it is scaled down to none, those that it has left in the cluster. */
function templateClaims(catalog: Catalog, workload: Workload, volume: string): readonly string[] {
  const pods = podsOf(workload);
  if (pods.length > 0) return pods.map((pod) => `${volume}-${pod}`);
  return everMade(catalog, workload, volume);
}

/** The claims in the cluster that a StatefulSet has made for pods that it is no longer meant to have. */
export function leftBehind(catalog: Catalog, workload: Workload): readonly string[] {
  const pods = podsOf(workload);
  if (pods.length === 0) return [];
  return workload.claimTemplates.flatMap(({ metadata }) => {
    const volume = metadata?.name ?? '';
    const own = new Set(pods.map((pod) => `${volume}-${pod}`));
    return everMade(catalog, workload, volume).filter((one) => !own.has(one));
  });
}

/** Claims by the names that a StatefulSet gives them, for whatever pod. */
function everMade(catalog: Catalog, workload: Workload, volume: string): readonly string[] {
  const prefix = `${volume}-${workload.name}-`;
  return catalog
    .all(CLAIM)
    .filter((one) => namespaceOf(one) === workload.namespace)
    .flatMap(({ metadata }) => metadata?.name ?? [])
    .filter((name) => name.startsWith(prefix) && /^\d+$/.test(name.slice(prefix.length)));
}
