import { normalizeMetadata } from '../objects/normalize.ts';
import type { Metadata, Pod } from '../objects/pod.ts';

/** An object as the API server or a manifest has it; what a rule needs of it, the rule reads. */
export interface KubeObject {
  readonly apiVersion?: string;
  readonly kind?: string;
  readonly metadata?: Metadata & {
    /** Only an API server gives one. */
    readonly uid?: string;
    readonly deletionTimestamp?: string;
  };
  readonly [field: string]: unknown;
}

/** A kind of object that could not be read. */
export interface Unseen {
  /** `pods`, `schedules.velero.io`. */
  readonly resource: string;
  /** Where; everywhere if absent. */
  readonly namespace?: string;
  readonly reason: string;
  /** Nothing is called protected for its being absent. */
  readonly optional: boolean;
}

/**
 * What is to be judged by what is not there: `cluster`, the objects are all there is; `set`, they hold
 * workloads and parts of the platform, so that Velero and the webhook would be among them; `part`, they
 * are a piece of something, and only what is there is judged.
 */
export type Scope = 'cluster' | 'set' | 'part';

/** Plain objects, wherever they came from. */
export interface Inventory {
  readonly objects: readonly KubeObject[];
  readonly scope: Scope;
  readonly unseen: readonly Unseen[];
  /** Workloads are looked at in these namespaces only. */
  readonly namespaces?: readonly string[] | undefined;
  /** Milliseconds of the epoch. */
  readonly now: number;
}

/** Which object, for people and for machines. */
export interface ObjectRef {
  readonly kind: string;
  readonly name: string;
  readonly namespace?: string;
}

export function refOf({ kind = '', metadata }: KubeObject): ObjectRef {
  const name = metadata?.name ?? metadata?.generateName ?? '';
  const namespace = metadata?.namespace;
  return namespace === undefined ? { kind, name } : { kind, name, namespace };
}

export function refText({ kind, name, namespace }: ObjectRef): string {
  return namespace === undefined ? `${kind}/${name}` : `${namespace} ${kind}/${name}`;
}

/** What a manifest leaves out, kubectl puts into this one. */
const DEFAULT_NAMESPACE = 'default';

export function namespaceOf({ metadata }: KubeObject): string {
  return metadata?.namespace ?? DEFAULT_NAMESPACE;
}

export function labelsOf(object: KubeObject | Pod | undefined): Readonly<Record<string, string>> {
  return object?.metadata?.labels ?? {};
}

export function annotationsOf(
  object: KubeObject | Pod | undefined,
): Readonly<Record<string, string>> {
  return object?.metadata?.annotations ?? {};
}

/** Follows keys into an object of no known shape. */
export function at(value: unknown, ...path: readonly string[]): unknown {
  let found = value;
  for (const key of path) {
    if (typeof found !== 'object' || found === null) return undefined;
    found = Object.hasOwn(found, key) ? (found as Record<string, unknown>)[key] : undefined;
  }
  return found;
}

export function listAt(value: unknown, ...path: readonly string[]): readonly unknown[] {
  const found = at(value, ...path);
  return Array.isArray(found) ? (found as unknown[]) : [];
}

export function textAt(value: unknown, ...path: readonly string[]): string | undefined {
  const found = at(value, ...path);
  return typeof found === 'string' ? found : undefined;
}

/** Texts of a list; what is no text is left out. */
export function textsAt(value: unknown, ...path: readonly string[]): readonly string[] {
  return listAt(value, ...path).filter((one) => typeof one === 'string');
}

/** Objects by kind and name. */
export class Catalog {
  readonly scope: Scope;
  readonly now: number;
  readonly unseen: readonly Unseen[];
  readonly namespaces: readonly string[] | undefined;
  readonly #byKind = new Map<string, KubeObject[]>();
  readonly #byName = new Map<string, KubeObject>();
  readonly #given = new WeakMap<KubeObject, KubeObject>();

  constructor({ objects, scope, unseen, namespaces, now }: Inventory) {
    this.scope = scope;
    this.now = now;
    this.unseen = unseen;
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

  /** Of a kind that has no namespaces. */
  getGlobal(kind: string, name: string): KubeObject | undefined {
    return this.all(kind).find(({ metadata }) => metadata?.name === name);
  }

  /** An object as it came, with labels and annotations that may be no texts. */
  given(object: KubeObject): KubeObject {
    return this.#given.get(object) ?? object;
  }

  get kinds(): readonly string[] {
    return [...this.#byKind.keys()];
  }

  /** Whether this kind could be read, there or everywhere it was looked for. */
  sees(resource: string, namespace?: string): boolean {
    return this.unseen.every(
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
