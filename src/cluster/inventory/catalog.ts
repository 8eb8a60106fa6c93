import { normalizeMetadata } from '../objects/normalize.ts';
import { DEFAULT_NAMESPACE, type KubeObject, namespaceOf } from '../objects/kube-object.ts';

/** A kind of object that could not be read. */
export interface Unexamined {
  /** `pods`, `schedules.velero.io`. */
  readonly resource: string;
  /** The namespace that could not be read; absent: the whole cluster. */
  readonly namespace?: string;
  readonly reason: string;
  /** No result depends on it: it is reported as `info`. */
  readonly optional: boolean;
  /** Nobody wanted to read it: it is reported nowhere. */
  readonly expected?: true;
}

/**
 * Whether an absent object counts as missing. `cluster`: the objects are everything there is. `set`: they
 * include workloads and parts of the platform, so Velero and the webhook should be among them. `part`:
 * they are a fragment, and only the objects themselves are checked.
 */
export type Scope = 'cluster' | 'set' | 'part';

/** Plain objects, from a cluster or from manifests. */
export interface Inventory {
  readonly objects: readonly KubeObject[];
  readonly scope: Scope;
  readonly unexamined: readonly Unexamined[];
  /** Only workloads in these namespaces are examined; `undefined`: all. */
  readonly namespaces?: readonly string[] | undefined;
  /** The current time, in milliseconds since the epoch. */
  readonly now: number;
}

/** Objects by kind and name. */
export class Catalog {
  readonly scope: Scope;
  readonly now: number;
  readonly unexamined: readonly Unexamined[];
  readonly namespaces: readonly string[] | undefined;
  readonly #byKind = new Map<string, KubeObject[]>();
  readonly #byName = new Map<string, KubeObject>();
  readonly #given = new WeakMap<KubeObject, KubeObject>();

  constructor({ objects, scope, unexamined, namespaces, now }: Inventory) {
    this.scope = scope;
    this.now = now;
    this.unexamined = unexamined;
    this.namespaces = namespaces;
    for (const given of objects) {
      const object = { ...given, metadata: normalizeMetadata(given.metadata) };
      this.#given.set(object, given);
      const kind = kindOf(object);
      const list = this.#byKind.get(kind) ?? [];
      list.push(object);
      this.#byKind.set(kind, list);
      this.#byName.set(keyOf(kind, namespaceOf(object), object.metadata?.name ?? ''), object);
    }
  }

  /** `Pod`, `StatefulSet.apps`, `Schedule.velero.io`: kind and group. */
  all(kind: string): readonly KubeObject[] {
    return this.#byKind.get(kind) ?? [];
  }

  get(kind: string, namespace: string, name: string): KubeObject | undefined {
    return this.#byName.get(keyOf(kind, namespace, name));
  }

  /** Finds an object of a kind without namespaces. */
  getGlobal(kind: string, name: string): KubeObject | undefined {
    const found = this.get(kind, DEFAULT_NAMESPACE, name);
    return found ?? this.all(kind).find(({ metadata }) => metadata?.name === name);
  }

  /** The object as it was read, whose labels and annotations may not be strings. */
  given(object: KubeObject): KubeObject {
    return this.#given.get(object) ?? object;
  }

  get kinds(): readonly string[] {
    return [...this.#byKind.keys()];
  }

  /** Whether this kind could be read: in the namespace, or in all places if none is given. */
  sees(resource: string, namespace?: string): boolean {
    return this.unexamined.every(
      (one) =>
        one.resource !== resource ||
        (namespace !== undefined && one.namespace !== undefined && one.namespace !== namespace),
    );
  }
}

function kindOf({ kind = '', apiVersion = '' }: KubeObject): string {
  const group = apiVersion.includes('/') ? apiVersion.split('/')[0] : undefined;
  return group === undefined ? kind : `${kind}.${group}`;
}

function keyOf(kind: string, namespace: string, name: string): string {
  return `${kind}\n${namespace}\n${name}`;
}
