import type { Metadata, Pod } from './pod.ts';

/** An object from an API server or a manifest. Rules read the fields they need. */
export interface KubeObject {
  readonly apiVersion?: string;
  readonly kind?: string;
  readonly metadata?: Metadata & {
    /** Set by the API server only, so absent in a manifest. */
    readonly uid?: string;
    readonly deletionTimestamp?: string;
  };
  readonly [field: string]: unknown;
}

/** Identifies an object, for people and for programs. */
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

/** The namespace that kubectl uses for a manifest that names none. */
export const DEFAULT_NAMESPACE = 'default';

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

/** The value at a path of keys in an object of unknown shape; `undefined` where a key is absent. */
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

/** The strings of a list; other items are left out. */
export function textsAt(value: unknown, ...path: readonly string[]): readonly string[] {
  return listAt(value, ...path).filter((one) => typeof one === 'string');
}
