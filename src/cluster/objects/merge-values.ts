/** Merges objects key by key. Any other value of `wanted` replaces the one found. */
export function mergeValues(found: unknown, wanted: unknown): unknown {
  if (!isObject(found) || !isObject(wanted)) return wanted;
  const merged: Record<string, unknown> = { ...found };
  for (const [key, value] of Object.entries(wanted)) merged[key] = mergeValues(found[key], value);
  return merged;
}

function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}
