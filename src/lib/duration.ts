import { DURATION_FORM, DURATION_TOO_LONG, DURATION_TOO_SHORT, LONGEST_MS } from '../defaults.ts';

const UNITS = { ms: 1, s: 1_000, m: 60_000, h: 3_600_000 } as const;

/**
 * Reads a duration with a required unit: `500ms`, `30s`, `10m`, `1h`, also `1.5s`.
 *
 * @returns whole milliseconds; `undefined` where the text is not a duration: no unit, a sign, a
 * combination such as `1m30s`, or a value too large for a timer
 */
export function parseDuration(text: string): number | undefined {
  const match = /^(\d{1,9}(?:\.\d{1,3})?)(ms|s|m|h)$/.exec(text);
  if (!match) return undefined;
  const ms = Math.round(Number(match[1]) * UNITS[match[2] as keyof typeof UNITS]);
  return Number.isSafeInteger(ms) ? ms : undefined;
}

/** What is wrong with a user's duration, as words that follow its name; `undefined` if it is valid. */
export function durationProblem(text: string): string | undefined {
  const ms = parseDuration(text);
  if (ms === undefined) return DURATION_FORM;
  if (ms < 1) return DURATION_TOO_SHORT;
  return ms > LONGEST_MS ? DURATION_TOO_LONG : undefined;
}

/** Writes milliseconds as {@link parseDuration} reads them, in the largest unit that fits: `25s`, `1h`. */
export function writeDuration(ms: number): string {
  const [unit, size] = Object.entries(UNITS)
    .toReversed()
    .find(([, one]) => ms >= one && ms % one === 0) ?? ['ms', 1];
  return `${ms / size}${unit}`;
}

/** Formats milliseconds for people: `740 ms`, `5.2 s`, `10 min 3 s`, `2 h 30 min`. */
export function formatDuration(ms: number): string {
  if (ms < 1_000) return `${Math.round(ms)} ms`;
  if (ms < 60_000) return `${(ms / 1_000).toFixed(1)} s`;
  const seconds = Math.round(ms / 1_000);
  return seconds < 3_600
    ? inTwo(seconds, [60, 'min'], [1, 's'])
    : inTwo(seconds, [3_600, 'h'], [60, 'min']);
}

type Unit = readonly [seconds: number, name: string];

function inTwo(seconds: number, [large, name]: Unit, [small, restName]: Unit): string {
  const whole = Math.floor(seconds / large);
  const rest = Math.floor((seconds % large) / small);
  return rest === 0 ? `${whole} ${name}` : `${whole} ${name} ${rest} ${restName}`;
}
