import { CONTENTS, type ObjectApi, VOLUMES } from '../api/objects.ts';
import type { KubeObject } from '../objects/kube-object.ts';
import { textAt } from '../objects/kube-object.ts';
import { RESTORE } from '../restore/names.ts';
import { NAMESPACES } from '../restore/namespaces.ts';
import { drillOf } from './marks.ts';
import { removeDrill, serverTime } from './remove.ts';

/** What a drill has left, whose time is over or whose verb is known to be dead. */
export interface Leftover {
  readonly id: string;
  readonly namespaces: readonly string[];
}

export interface Swept {
  readonly removed: readonly string[];
  /** Drills of which something is left, with what. */
  readonly left: readonly { readonly id: string; readonly objects: readonly string[] }[];
}

/**
 * Drills whose time is over, by what they left. One object that is still needed keeps all of its drill. Pure.
 *
 * @param now the API server's time
 */
export function expired(objects: readonly KubeObject[], now: number): readonly Leftover[] {
  const drills = new Map<string, { until: number; names: Set<string> }>();
  for (const object of objects) {
    const of = drillOf(object);
    if (of === undefined) continue;
    const one = drills.get(of.id) ?? { until: 0, names: new Set<string>() };
    one.until = Math.max(one.until, of.expires);
    const name = placeOf(object);
    if (name !== undefined) one.names.add(name);
    drills.set(of.id, one);
  }
  return [...drills]
    .filter(([, { until }]) => until <= now)
    .map(([id, { names }]) => ({ id, namespaces: [...names] }));
}

/** The scratch namespace that an object is in, or stands for. */
function placeOf(object: KubeObject): string | undefined {
  if (object.kind === 'VolumeSnapshotContent') {
    return textAt(object, 'spec', 'volumeSnapshotRef', 'namespace');
  }
  if (object.kind === 'PersistentVolume') return textAt(object, 'spec', 'claimRef', 'namespace');
  return object.metadata?.name;
}

/** Everything in the cluster that is of a drill. */
export async function drillObjects(api: ObjectApi, id?: string): Promise<readonly KubeObject[]> {
  const label = id === undefined ? RESTORE.drill : `${RESTORE.drill}=${id}`;
  const kinds = [
    [NAMESPACES, 'Namespace'],
    [CONTENTS, 'VolumeSnapshotContent'],
    [VOLUMES, 'PersistentVolume'],
  ] as const;
  const lists = await Promise.all(
    kinds.map(async ([kind, name]) =>
      // Lists do not say the kind of their items.
      ((await api.list(kind, undefined, label)) ?? []).map((one) => ({ ...one, kind: name })),
    ),
  );
  return lists.flat();
}

/**
 * Removes what drills have left whose time is over.
 *
 * @param dead ids of drills that are known to have ended, whatever their time
 */
export async function sweep(
  api: ObjectApi,
  dead: readonly string[],
  progress: (sentence: string) => void,
  signal: AbortSignal,
): Promise<Swept> {
  const objects = await drillObjects(api);
  const now = objects.length === 0 ? 0 : await serverTime(api);
  const over = new Map(expired(objects, now).map((one) => [one.id, one]));
  for (const one of expired(objects, Infinity)) if (dead.includes(one.id)) over.set(one.id, one);
  const removed: string[] = [];
  const left: Swept['left'][number][] = [];
  for (const { id, namespaces } of over.values()) {
    signal.throwIfAborted();
    progress(`removing what the drill ${id} has left`);
    const remains = await removeDrill(api, id, namespaces, signal);
    if (remains.length === 0) removed.push(id);
    else left.push({ id, objects: remains });
  }
  return { removed, left };
}
