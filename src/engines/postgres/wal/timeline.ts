import { readdir } from 'node:fs/promises';
import { join } from 'node:path';
import { readRegular } from '../../../lib/regular-file.ts';
import { parseLsn } from '../lsn.ts';

/** A timeline from which another one branched off, and where. */
export interface TimelineSwitch {
  readonly timeline: number;
  /** The first byte that no longer belongs to this timeline. */
  readonly switchLsn: bigint;
}

/** The part of the WAL that one timeline contributes to a server's history. */
export interface TimelineSpan {
  readonly timeline: number;
  readonly begin: number;
  /** `Infinity` for the newest. */
  readonly end: number;
}

/**
 * The ancestors of a timeline, oldest first, from `pg_wal/NNNNNNNN.history`. Timeline 1 has none.
 *
 * @throws the system's error where the file of a later timeline is missing, or `Error` where it is
 * malformed.
 */
export async function readTimelineHistory(
  pgdata: string,
  timeline: number,
): Promise<TimelineSwitch[]> {
  if (timeline === 1) return [];
  const name = `${timeline.toString(16).toUpperCase().padStart(8, '0')}.history`;
  return parseHistory(await readRegular(join(pgdata, 'pg_wal', name)), name);
}

/**
 * Decodes a history file: one line `timeline <tab> LSN <tab> reason` for each switch; `#` begins a
 * comment.
 */
export function parseHistory(text: string, name: string): TimelineSwitch[] {
  const switches: TimelineSwitch[] = [];
  for (const line of text.split('\n')) {
    if (/^\s*(#|$)/.test(line)) continue;
    const match = /^\s*(\d+)\s+([0-9A-Fa-f]+\/[0-9A-Fa-f]+)(\s|$)/.exec(line);
    const timeline = Number(match?.[1]);
    if (!match?.[2] || timeline <= (switches.at(-1)?.timeline ?? 0)) {
      throw new Error(`${name} cannot be understood: ${line.slice(0, 80)}`);
    }
    switches.push({ timeline, switchLsn: parseLsn(match[2]) });
  }
  return switches;
}

/** The history of a server on `timeline`, as spans of the WAL, oldest first. */
export async function timelineSpans(pgdata: string, timeline: number): Promise<TimelineSpan[]> {
  const spans: TimelineSpan[] = [];
  let begin = 0;
  for (const { timeline: ancestor, switchLsn } of await readTimelineHistory(pgdata, timeline)) {
    spans.push({ timeline: ancestor, begin, end: Number(switchLsn) });
    begin = Number(switchLsn);
  }
  return [...spans, { timeline, begin, end: Infinity }];
}

/**
 * The newest timeline in `pg_wal` that descends from this one and has WAL of its own there. A
 * server that was promoted, or that follows a promoted one, is on that timeline.
 */
export async function newestDescendant(pgdata: string, timeline: number): Promise<number> {
  const names = await readdir(join(pgdata, 'pg_wal'));
  const candidates = names
    .filter((name) => /^[0-9A-F]{8}\.history$/.test(name))
    .map((name) => Number.parseInt(name.slice(0, 8), 16))
    .filter((candidate) => candidate > timeline)
    .sort((a, b) => b - a);
  for (const candidate of candidates) {
    const prefix = candidate.toString(16).toUpperCase().padStart(8, '0');
    if (!names.some((name) => name.length === 24 && name.startsWith(prefix))) continue;
    const history = await readTimelineHistory(pgdata, candidate).catch(() => []);
    if (history.some((ancestor) => ancestor.timeline === timeline)) return candidate;
  }
  return timeline;
}
