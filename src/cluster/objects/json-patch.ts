import { isDeepStrictEqual } from 'node:util';

/** One operation of a JSON Patch (RFC 6902). */
export type Operation =
  | { readonly op: 'add' | 'replace'; readonly path: string; readonly value: unknown }
  | { readonly op: 'remove'; readonly path: string };

/**
 * The operations that turn `before` into `after`. A list of named elements changes element by element:
 * another webhook's addition to the same list then survives. A list is replaced whole only if its
 * elements have no unique names or their order changes.
 */
export function diff(before: unknown, after: unknown, path = ''): readonly Operation[] {
  if (isDeepStrictEqual(before, after)) return [];
  if (isObject(before) && isObject(after)) return diffObjects(before, after, path);
  if (Array.isArray(before) && Array.isArray(after)) return diffLists(before, after, path);
  return [{ op: 'replace', path, value: after }];
}

function diffObjects(
  before: Record<string, unknown>,
  after: Record<string, unknown>,
  path: string,
): readonly Operation[] {
  const operations: Operation[] = [];
  for (const key of Object.keys(before)) {
    if (valueOf(after, key) === undefined)
      operations.push({ op: 'remove', path: pointerTo(path, key) });
  }
  for (const [key, value] of Object.entries(after)) {
    if (value === undefined) continue;
    const at = pointerTo(path, key);
    const old = valueOf(before, key);
    if (old === undefined) operations.push({ op: 'add', path: at, value });
    else operations.push(...diff(old, value, at));
  }
  return operations;
}

/** The object's own value: a key such as `toString` must not find an inherited one. */
function valueOf(object: Record<string, unknown>, key: string): unknown {
  return Object.hasOwn(object, key) ? object[key] : undefined;
}

function diffLists(
  before: readonly unknown[],
  after: readonly unknown[],
  path: string,
): readonly Operation[] {
  const [old, next] = [before.map(identity), after.map(identity)];
  const wanted = new Set(next);
  const kept = old.filter((key) => wanted.has(key));
  const matchableByName =
    !old.includes(undefined) &&
    !next.includes(undefined) &&
    new Set(old).size === old.length &&
    wanted.size === next.length &&
    isDeepStrictEqual(kept, next.slice(0, kept.length));
  if (!matchableByName) return [{ op: 'replace', path, value: after }];
  const removed = old
    .flatMap((key, index) => (wanted.has(key) ? [] : [index]))
    .toReversed()
    .map((index): Operation => ({ op: 'remove', path: pointerTo(path, String(index)) }));
  const changed = kept.flatMap((key, index) =>
    diff(before[old.indexOf(key)], after[index], pointerTo(path, String(index))),
  );
  const added = after
    .slice(kept.length)
    .map((value): Operation => ({ op: 'add', path: pointerTo(path, '-'), value }));
  return [...removed, ...changed, ...added];
}

/** The key that identifies an element within its list; `undefined`: it has none. */
function identity(element: unknown): string | undefined {
  if (!isObject(element)) return undefined;
  const key = element['mountPath'] ?? element['name'] ?? element['containerPort'];
  return typeof key === 'string' || typeof key === 'number' ? String(key) : undefined;
}

function pointerTo(path: string, key: string): string {
  return `${path}/${key.replaceAll('~', '~0').replaceAll('/', '~1')}`;
}

/** The keys of a JSON Pointer, unescaped. */
export function keysOf(path: string): readonly string[] {
  return path
    .split('/')
    .slice(1)
    .map((key) => key.replaceAll('~1', '/').replaceAll('~0', '~'));
}

function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}
