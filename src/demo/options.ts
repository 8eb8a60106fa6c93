import { BadValue, oneOf, text, toggle, value, type Values } from '../lib/command-line/flags.ts';
import { quote } from '../lib/command-line/printable.ts';
import { readFlags, usage } from '../lib/command-line/read-flags.ts';

const ENGINES = ['postgres', 'redis'] as const;
const FORMATS = ['text', 'json'] as const;
export const MAJORS = [13, 14, 15, 16, 17, 18] as const;
const MAJOR = 17;

export interface DemoOptions {
  readonly engine: (typeof ENGINES)[number];
  /** A Redis or Valkey server's name on PATH, or its path; `undefined`: whichever is there. */
  readonly server: string | undefined;
  readonly postgres: number;
  /** Leave everything running at the end. */
  readonly keep: boolean;
  /** End what earlier runs with `--keep` left running, and do nothing else. */
  readonly stop: boolean;
  readonly output: (typeof FORMATS)[number];
  /** How long the writers are measured before the freeze, in seconds; half as long held, then after. */
  readonly seconds: number;
}

export const DEMO_FLAGS = {
  engine: oneOf(ENGINES, 'which database', { fallback: 'postgres' }),
  postgres: value('MAJOR', MAJORS.join(', '), { otherwise: String(MAJOR) }, (given) => {
    const major = MAJORS.find((known) => String(known) === given);
    if (major !== undefined) return major;
    throw new BadValue(`must be one of ${MAJORS.join(', ')}, not ${quote(given)}`);
  }),
  server: text('NAME|PATH', 'the Redis or Valkey', {
    otherwise: 'redis-server or valkey-server, whichever is on PATH',
  }),
  seconds: value(
    'N',
    'how long the writers are measured before the freeze, 1 to 300; it is held half as long',
    { fallback: '4' },
    (given) => {
      const seconds = Number(given);
      if (/^\d+(\.\d+)?$/.test(given) && seconds >= 1 && seconds <= 300) return seconds;
      throw new BadValue(`must be a number from 1 to 300, not ${quote(given)}`);
    },
  ),
  keep: toggle('leave both servers and sidecars running, and print how to play with them'),
  stop: toggle('end what --keep left running'),
} as const;

/** Of `-o`. */
export const DEMO_FORMATS = FORMATS;

/** @throws QuiesceError `USAGE`, naming the flag at fault. */
export function parseOptions(args: readonly string[]): DemoOptions {
  const output = oneOf(FORMATS, '', { short: 'o', fallback: 'text' });
  const { values } = readFlags('demo', { ...DEMO_FLAGS, output }, args);
  return optionsOf(values, values.output);
}

/** @throws QuiesceError `USAGE` for flags that do not go together */
export function optionsOf(
  values: Values<typeof DEMO_FLAGS>,
  output: DemoOptions['output'],
): DemoOptions {
  const { engine, server, postgres, keep, stop, seconds } = values;
  const notOf = (flag: string): Error =>
    usage('demo', `${flag} cannot be combined with --engine ${engine}`, flag);
  if (engine !== 'postgres' && postgres !== undefined) throw notOf('--postgres');
  if (engine !== 'redis' && server !== undefined) throw notOf('--server');
  if (keep && stop) throw usage('demo', '--stop cannot be combined with --keep', '--stop');
  return { engine, server, postgres: postgres ?? MAJOR, keep, stop, output, seconds };
}
