import type { Json } from '../../engine.ts';

/** Columns named …Bytes come as text. They become numbers where that is exact. */
export function toJson(value: unknown, key = ''): Json {
  if (Array.isArray(value)) return value.map((entry) => toJson(entry));
  if (typeof value === 'object' && value !== null) {
    return Object.fromEntries(
      Object.entries(value).map(([name, entry]) => [name, toJson(entry, name)]),
    );
  }
  if (typeof value === 'string' && /(Bytes|Count)$/.test(key)) {
    const number = Number(value);
    return Number.isSafeInteger(number) ? number : value;
  }
  return (value ?? null) as Json;
}
