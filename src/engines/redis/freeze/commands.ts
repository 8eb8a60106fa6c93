import { parseInfo } from '../connection/replies.ts';
import { readServer, type ServerFacts } from '../server.ts';
import type { Session } from '../connection/session.ts';

/** The state of a server and its command counts: two of these are compared to prove that a hold held. */
export interface Evidence extends ServerFacts {
  /** `debug`, `config|resetstat`, … → number of calls, without rejected ones. */
  readonly commands: ReadonlyMap<string, number>;
}

/**
 * Reads both in one round trip. The counts are read first: the next look then counts a command that
 * runs between the two, and does not mistake it for one from before the hold.
 */
export async function readEvidence(session: Session, signal: AbortSignal): Promise<Evidence> {
  const counting = session.call(signal, 'INFO', 'commandstats');
  counting.catch(() => undefined);
  const server = await readServer(session, signal);
  return { ...server, commands: countsIn(String(await counting)) };
}

/** Lines of `cmdstat_NAME:calls=N,usec=…`; from 7.0 on each subcommand has its own line. */
export function countsIn(text: string): ReadonlyMap<string, number> {
  const counts = new Map<string, number>();
  for (const [field, value] of parseInfo(text)) {
    const calls = /^calls=(\d+)/.exec(value)?.[1];
    if (field.startsWith('cmdstat_') && calls !== undefined)
      counts.set(field.slice('cmdstat_'.length), Number(calls));
  }
  return counts;
}

/** How often a command ran between two looks; negative: the counts were reset. */
export function callsBetween(then: Evidence, now: Evidence, command: string): number {
  return (now.commands.get(command) ?? 0) - (then.commands.get(command) ?? 0);
}

/**
 * Whether the server's counters were reset (CONFIG RESETSTAT). A count that fell shows it. So does the
 * count of that command, which is the first one counted again (measured, 7.0.15 and Valkey 8.0.1).
 */
export function wereReset(then: Evidence, now: Evidence): boolean {
  const fell = [...then.commands.keys()].some((command) => callsBetween(then, now, command) < 0);
  return fell || callsBetween(then, now, 'config|resetstat') !== 0;
}
