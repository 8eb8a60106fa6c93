import { readFileSync } from 'node:fs';
import { uptime } from 'node:os';

/** Of this start of the machine; `null`: the system does not say. Read once, for it outlives the process. */
let bootId: string | null | undefined;

/**
 * The clock since the machine started: it outlives a process, and no correction of the time moves it.
 * `undefined` where the system does not say which start that was.
 */
export function bootClock(): { readonly id: string; readonly ms: number } | undefined {
  bootId ??= readBootId();
  return bootId === null ? undefined : { id: bootId, ms: Math.round(uptime() * 1_000) };
}

function readBootId(): string | null {
  try {
    return readFileSync('/proc/sys/kernel/random/boot_id', 'utf8').trim();
  } catch {
    return null;
  }
}
