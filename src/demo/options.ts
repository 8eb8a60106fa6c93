import { parseArgs } from 'node:util';
import { QuiesceError } from '../errors.ts';

export interface DemoOptions {
  readonly postgres: number;
  /** Leave everything running at the end. */
  readonly keep: boolean;
  /** End what earlier runs with `--keep` left running, and do nothing else. */
  readonly stop: boolean;
  readonly output: 'text' | 'json';
  /** How long the writers are measured before the freeze, in seconds; half as long held, then after. */
  readonly seconds: number;
}

export const MAJORS = [13, 14, 15, 16, 17, 18] as const;

export const HELP = `Usage: quiesce demo [--postgres 17] [--seconds 4] [--keep | --stop] [-o text|json]

Shows the main job on this machine with an embedded PostgreSQL: writers move money, quiesce freezes,
the volume is copied, quiesce thaws, and the copy is restored, verified and compared with every
transaction the writers were told had committed.

  --postgres MAJOR         ${MAJORS.join(', ')} (17)
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
  if (values.engine !== 'postgres') {
    throw bad('--engine', `--engine: there is no demo for '${values.engine}', only for postgres`);
  }
  const postgres = Number(values.postgres);
  if (!/^\d+$/.test(values.postgres) || !MAJORS.some((major) => major === postgres)) {
    throw bad(
      '--postgres',
      `--postgres: must be one of ${MAJORS.join(', ')}, not '${values.postgres}'`,
    );
  }
  const seconds = Number(values.seconds);
  if (!/^\d+(\.\d+)?$/.test(values.seconds) || seconds < 1 || seconds > 300) {
    throw bad('--seconds', `--seconds: must be a number from 1 to 300, not '${values.seconds}'`);
  }
  const { output, keep, stop } = values;
  if (output !== 'text' && output !== 'json') {
    throw bad('--output', `--output: must be text or json, not '${output}'`);
  }
  if (keep && stop) throw bad('--stop', '--stop: cannot be combined with --keep');
  return { postgres, keep, stop, output, seconds };
}

function read(args: readonly string[]) {
  try {
    return parseArgs({
      args: [...args],
      options: {
        engine: { type: 'string', default: 'postgres' },
        postgres: { type: 'string', default: '17' },
        seconds: { type: 'string', default: '4' },
        keep: { type: 'boolean', default: false },
        stop: { type: 'boolean', default: false },
        output: { type: 'string', short: 'o', default: 'text' },
      },
    }).values;
  } catch (error) {
    // parseArgs names the flag in the first sentence; the rest is advice to programmers.
    const message = (error as Error).message.split(/\. |\n/)[0] ?? '';
    const flag = /'(-[^' ]*)/.exec(message)?.[1]?.replace(/,$/, '');
    throw bad(flag, `${message}.`);
  }
}

function bad(field: string | undefined, message: string): QuiesceError {
  const hint = 'Run quiesce demo --help.';
  return new QuiesceError('USAGE', message, field === undefined ? { hint } : { hint, field });
}
