import { readFileSync } from 'node:fs';
import { uptime } from 'node:os';

/** Id of the machine's current boot; `null`: the system does not report one. It outlives the process, so it is read once. */
let bootId: string | null | undefined;

/**
 * Milliseconds since the machine booted, and the id of that boot. The clock outlives a process, and
 * corrections of the wall clock do not move it. `undefined` where the system reports no boot id.
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
