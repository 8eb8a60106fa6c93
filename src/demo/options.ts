import { parseArgs } from 'node:util';
import { QuiesceError } from '../errors.ts';

export interface DemoOptions {
  readonly engine: (typeof ENGINES)[number];
  /** A Redis or Valkey server's name on PATH, or its path; `undefined`: whichever is there. */
  readonly server: string | undefined;
  readonly postgres: number;
  /** Leave everything running at the end. */
  readonly keep: boolean;
  /** End what earlier runs with `--keep` left running, and do nothing else. */
  readonly stop: boolean;
  readonly output: 'text' | 'json';
  /** How long the writers are measured before the freeze, in seconds; half as long held, then after. */
  readonly seconds: number;
}

const ENGINES = ['postgres', 'redis'] as const;
export const MAJORS = [13, 14, 15, 16, 17, 18] as const;

export const HELP = `Usage: quiesce demo [--engine postgres|redis] [--seconds 4] [--keep | --stop] [-o text|json]

Shows the main job on this machine, with an embedded PostgreSQL or a Redis or Valkey that is installed:
writers write, quiesce freezes, the volume is copied, quiesce thaws, and the copy is restored, verified
and compared with everything the writers were told had been written.

  --engine NAME            ${ENGINES.join(' or ')} (postgres)
  --postgres MAJOR         ${MAJORS.join(', ')} (17)
  --server NAME|PATH       the Redis or Valkey (redis-server or valkey-server, whichever is on PATH)
  --seconds N              how long the writers are measured before the freeze, 1 to 300 (4); it is
                           held half as long
  --keep                   leave both servers and sidecars running, and print how to play with them
  --stop                   end what --keep left running
  -o, --output text|json   text (default), or one JSON document

Exit codes: 0 every check held, 7 one did not (it is named), 2 bad flags, 1 unexpected.
`;

/** @throws QuiesceError `USAGE`, naming the flag at fault. */
export function parseOptions(args: readonly string[]): DemoOptions {
  const values = read(args);
  const engine = ENGINES.find((known) => known === values.engine);
  if (!engine) {
    const list = ENGINES.join(' and ');
    throw bad('--engine', `--engine: there is no demo for '${values.engine}', only for ${list}`);
  }
  const postgres = parseMajor(values.postgres ?? '17');
  const { server } = values;
  if (engine !== 'postgres' && values.postgres !== undefined) throw notOf('--postgres', engine);
  if (engine !== 'redis' && server !== undefined) throw notOf('--server', engine);
  if (server === '') throw bad('--server', '--server: must be a name or a path');
  const seconds = Number(values.seconds);
  if (!/^\d+(\.\d+)?$/.test(values.seconds) || seconds < 1 || seconds > 300) {
    throw bad('--seconds', `--seconds: must be a number from 1 to 300, not '${values.seconds}'`);
  }
  const { output, keep, stop } = values;
  if (output !== 'text' && output !== 'json') {
    throw bad('--output', `--output: must be text or json, not '${output}'`);
  }
  if (keep && stop) throw bad('--stop', '--stop: cannot be combined with --keep');
  return { engine, server, postgres, keep, stop, output, seconds };
}

function parseMajor(text: string): number {
  const major = MAJORS.find((known) => String(known) === text);
  if (major !== undefined) return major;
  throw bad('--postgres', `--postgres: must be one of ${MAJORS.join(', ')}, not '${text}'`);
}

function notOf(flag: string, engine: string): QuiesceError {
  return bad(flag, `${flag}: cannot be combined with --engine ${engine}`);
}

function read(args: readonly string[]) {
  try {
    return parseArgs({
      args: [...args],
      options: {
        engine: { type: 'string', default: 'postgres' },
        server: { type: 'string' },
        postgres: { type: 'string' },
        seconds: { type: 'string', default: '4' },
        keep: { type: 'boolean', default: false },
        stop: { type: 'boolean', default: false },
        output: { type: 'string', short: 'o', default: 'text' },
      },
    }).values;
  } catch (error) {
    // parseArgs names the flag in the first sentence; the rest is advice to programmers.
    const message = (error as Error).message.split(/\.(?: |\n)|\n/)[0] ?? '';
    const flag = /'(-[^' ]*)/.exec(message)?.[1]?.replace(/,$/, '');
    throw bad(flag, `${message}.`);
  }
}

function bad(field: string | undefined, message: string): QuiesceError {
  const hint = 'Run quiesce demo --help.';
  return new QuiesceError('USAGE', message, field === undefined ? { hint } : { hint, field });
}
