import { readFileSync } from 'node:fs';
import { uptime } from 'node:os';

/**
 * The clock since the machine started: it outlives a process, and no correction of the time moves it.
 * `undefined` where the system does not say which start that was.
 */
export function bootClock(): { readonly id: string; readonly ms: number } | undefined {
  try {
    const id = readFileSync('/proc/sys/kernel/random/boot_id', 'utf8').trim();
    return { id, ms: Math.round(uptime() * 1_000) };
  } catch {
    return undefined;
  }
}
