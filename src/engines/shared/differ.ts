import type { Difference, Json, JsonObject } from '../engine.ts';

type Rows = readonly JsonObject[];

/** A list of objects in metadata; empty where it is absent. */
export function rowsAt(metadata: JsonObject | null, ...path: readonly string[]): Rows {
  const found = valueAt(metadata, ...path);
  return Array.isArray(found) ? found.filter(isObject) : [];
}

export function valueAt(metadata: JsonObject | null, ...path: readonly string[]): Json {
  let value: Json = metadata;
  for (const key of path) value = isObject(value) ? (value[key] ?? null) : null;
  return value;
}

export function isObject(value: Json | undefined): value is JsonObject {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

/** A difference in one value; none where either side does not know it. */
export function changed(
  kind: string,
  what: string,
  was: Json,
  is: Json,
  fix?: string,
): Difference[] {
  if (was === null || is === null || JSON.stringify(was) === JSON.stringify(is)) return [];
  return [{ kind, what, was, is, ...(fix === undefined ? {} : { fix }) }];
}

/** The names in a list of the copy that the server lacks. None where the server's list was not read. */
export function missing(
  was: JsonObject | null,
  is: JsonObject,
  list: string,
  nameOf: (row: JsonObject) => string,
): string[] {
  if (!Array.isArray(is[list])) return [];
  const there = new Set(rowsAt(is, list).map(nameOf));
  return rowsAt(was, list)
    .map(nameOf)
    .filter((name) => !there.has(name));
}

export function textOf(value: Json | undefined): string {
  return typeof value === 'string' ? value : JSON.stringify(value ?? null);
}

/** The first number of a version. */
export function majorOf(version: Json): number | null {
  const major = Number.parseInt(textOf(version), 10);
  return Number.isNaN(major) ? null : major;
}
