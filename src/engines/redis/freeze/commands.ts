import { parseInfo } from '../connection/replies.ts';
import { readServer, type ServerFacts } from '../server.ts';
import type { Session } from '../connection/session.ts';

/** A look at a server with how often each command was carried out: what a hold is compared by. */
export interface Evidence extends ServerFacts {
  /** `debug`, `config|resetstat`, … → calls, rejected ones left out. */
  readonly commands: ReadonlyMap<string, number>;
}

/**
 * Reads both in one round trip. The counts come first: a command that runs between the two is then
 * counted at the next look, never taken for one from before the hold.
 */
export async function readEvidence(session: Session, signal: AbortSignal): Promise<Evidence> {
  const counting = session.call(signal, 'INFO', 'commandstats');
  counting.catch(() => undefined);
  const server = await readServer(session, signal);
  return { ...server, commands: countsIn(String(await counting)) };
}

/** `cmdstat_NAME:calls=N,usec=…`, a line each; from 7.0 on a subcommand has a line of its own. */
export function countsIn(text: string): ReadonlyMap<string, number> {
  const counts = new Map<string, number>();
  for (const [field, value] of parseInfo(text)) {
    const calls = /^calls=(\d+)/.exec(value)?.[1];
    if (field.startsWith('cmdstat_') && calls !== undefined)
      counts.set(field.slice('cmdstat_'.length), Number(calls));
  }
  return counts;
}

/** How often a command was carried out between two looks; negative: the counts began anew. */
export function callsBetween(then: Evidence, now: Evidence, command: string): number {
  return (now.commands.get(command) ?? 0) - (then.commands.get(command) ?? 0);
}

/**
 * Did somebody set the server's counters back (CONFIG RESETSTAT)? A count that fell says so, and that
 * of the command itself, which is the first one counted again (measured, 7.0.15 and Valkey 8.0.1).
 */
export function wereReset(then: Evidence, now: Evidence): boolean {
  const fell = [...then.commands.keys()].some((command) => callsBetween(then, now, command) < 0);
  return fell || callsBetween(then, now, 'config|resetstat') !== 0;
}
