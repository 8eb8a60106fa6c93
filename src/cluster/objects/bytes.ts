import { parseQuantity } from './quantity.ts';

/** A size: neither negative nor in billionths, as other quantities may be. */
const SIZE = /^\d+(?:\.\d+)?(?:[eE][+-]?\d+)?(?:[mkMGTPE]|[KMGTPE]i)?$/;

/** The bytes of a Kubernetes quantity: `10Gi`, `1500M`, `1e9`; `undefined` where it is none. */
export function bytesOf(quantity: unknown): number | undefined {
  if (typeof quantity === 'number') return quantity;
  if (typeof quantity !== 'string' || !SIZE.test(quantity)) return undefined;
  const bytes = parseQuantity(quantity);
  return bytes === undefined ? undefined : Math.ceil(bytes);
}

/** For people: `980 B`, `1.5 GiB`, `20 GiB`. */
export function formatBytes(bytes: number): string {
  const units = ['B', 'KiB', 'MiB', 'GiB', 'TiB', 'PiB'];
  let value = bytes;
  let unit = 0;
  while (value >= 1_024 && unit < units.length - 1) {
    value /= 1_024;
    unit += 1;
  }
  const text =
    value >= 10 || Number.isInteger(value) ? Math.round(value).toString() : value.toFixed(1);
  return `${text} ${units[unit] ?? 'B'}`;
}
