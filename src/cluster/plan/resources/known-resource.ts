import { type KubeObject, listAt, textAt } from '../../objects/kube-object.ts';
import type { Stage } from '../document.ts';

/** A kind of custom resource whose operator makes pods. */
export interface KnownResource {
  readonly group: string;
  readonly kind: string;
  readonly stage: Stage;
  /** It follows the databases, and precedes what goes through it. */
  readonly pooler?: true;
  /** An engine's name, or what its server is known as. */
  readonly engine?: string;
  /** Names of the Services that the operator makes for a resource of this name, in its namespace. */
  services(name: string, object?: KubeObject): readonly string[];
  /** Names of the Secrets that it makes. */
  secrets?(name: string, object: KubeObject): readonly string[];
  /** The resource of the same namespace that this one is a part of: both are one member. */
  partOf?(object: KubeObject): { readonly kind: string; readonly name: string } | undefined;
  /** What it keeps on no claim. */
  lost?(object: KubeObject): readonly LostByResource[];
}

/** A store of a resource's pods that no backup holds. */
export interface LostByResource {
  /** The name of the volume as its operator calls it, or `(memory)` or `(container)`. */
  readonly volume: string;
  readonly why: string;
}

type Names = (name: string, object?: KubeObject) => readonly string[];

/** `NAME-rw`, `NAME`: one name for each suffix. */
export function suffixed(...suffixes: readonly string[]): Names {
  return (name) => suffixes.map((one) => `${name}${one}`);
}

export function prefixed(...prefixes: readonly string[]): Names {
  return (name) => prefixes.map((one) => `${one}${name}`);
}

/** The resource that a field names. */
export function partAt(
  kind: string,
  ...path: readonly string[]
): NonNullable<KnownResource['partOf']> {
  return (object) => {
    const name = textAt(object, ...path);
    return name === undefined ? undefined : { kind, name };
  };
}

/** The names in a list of objects. */
export function namesAt(object: KubeObject | undefined, ...path: readonly string[]) {
  return listAt(object, ...path).flatMap((one) => textAt(one, 'name') ?? []);
}

/** The text at a path, as a list of one or none. */
export function textsOf(object: KubeObject | undefined, ...path: readonly string[]) {
  return [textAt(object, ...path)].filter((one) => one !== undefined);
}
