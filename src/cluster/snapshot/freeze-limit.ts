import { LONGEST_MS } from '../../defaults.ts';
import { abortedWithin } from '../../lib/deadline.ts';
import type { Receipt } from '../../receipt/receipt.ts';
import type { Freeze } from './group-freeze.ts';

/** How long before its lease ends a freeze is thawed rather than waited for. */
const LEASE_MARGIN_MS = 2_000;

/** Ends with the run, or just before the first lease of a freeze would. */
export function beforeLeasesEnd(freezes: readonly Freeze[], stop: AbortSignal): AbortSignal {
  const lengths = freezes.flatMap(({ held }) => (held === undefined ? [] : leaseMs(held)));
  if (lengths.length === 0) return stop;
  const shortest = Math.min(...lengths);
  const spent = spreadSoFar(freezes);
  const margin = Math.min(LEASE_MARGIN_MS, shortest / 10);
  const left = Math.max(1, Math.round(shortest - spent - margin));
  return abortedWithin(left, stop);
}

/** Two times of one clock, in one receipt; a leap of that clock between them is not taken for a length. */
function leaseMs({ frozenAt, expiresAt }: Receipt): number[] {
  const length = Date.parse(expiresAt ?? '') - Date.parse(frozenAt ?? '');
  return length > 0 && length <= LONGEST_MS ? [length] : [];
}

function spreadSoFar(freezes: readonly Freeze[]): number {
  const times = freezes.flatMap(({ frozen }) => frozen?.ms ?? []);
  return Math.max(...times) - Math.min(...times);
}
