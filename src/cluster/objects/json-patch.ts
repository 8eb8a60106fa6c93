import { isDeepStrictEqual } from 'node:util';

/** One operation of a JSON Patch (RFC 6902). */
export type Operation =
  | { readonly op: 'add' | 'replace'; readonly path: string; readonly value: unknown }
  | { readonly op: 'remove'; readonly path: string };

/**
 * The operations that make `after` of `before`. Lists of named things are changed element by element,
 * so that what others add at the same time is not lost; a list is replaced whole only where its
 * elements have no names or change places.
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
      operations.push({ op: 'remove', path: below(path, key) });
  }
  for (const [key, value] of Object.entries(after)) {
    if (value === undefined) continue;
    const at = below(path, key);
    const old = valueOf(before, key);
    if (old === undefined) operations.push({ op: 'add', path: at, value });
    else operations.push(...diff(old, value, at));
  }
  return operations;
}

/** Not what every object inherits, such as `toString`. */
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
  const usable =
    !old.includes(undefined) &&
    !next.includes(undefined) &&
    new Set(old).size === old.length &&
    wanted.size === next.length &&
    isDeepStrictEqual(kept, next.slice(0, kept.length));
  if (!usable) return [{ op: 'replace', path, value: after }];
  const removed = old
    .flatMap((key, index) => (wanted.has(key) ? [] : [index]))
    .toReversed()
    .map((index): Operation => ({ op: 'remove', path: below(path, String(index)) }));
  const changed = kept.flatMap((key, index) =>
    diff(before[old.indexOf(key)], after[index], below(path, String(index))),
  );
  const added = after
    .slice(kept.length)
    .map((value): Operation => ({ op: 'add', path: below(path, '-'), value }));
  return [...removed, ...changed, ...added];
}

/** What tells one element of a list from the others. */
function identity(element: unknown): string | undefined {
  if (!isObject(element)) return undefined;
  const key = element['mountPath'] ?? element['name'] ?? element['containerPort'];
  return typeof key === 'string' || typeof key === 'number' ? String(key) : undefined;
}

function below(path: string, key: string): string {
  return `${path}/${key.replaceAll('~', '~0').replaceAll('/', '~1')}`;
}

/** The keys of a path: the reverse of what makes it. */
export function keysOf(path: string): readonly string[] {
  return path
    .split('/')
    .slice(1)
    .map((key) => key.replaceAll('~1', '/').replaceAll('~0', '~'));
}

function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}
