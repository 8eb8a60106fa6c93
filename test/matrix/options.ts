import { availableParallelism } from 'node:os';
import { parseArgs } from 'node:util';
import { MAJORS } from '../../src/demo/options.ts';
import { type Cell, CELLS, MODE_NAMES } from './cells.ts';

export interface MatrixOptions {
  readonly majors: readonly number[];
  readonly cells: readonly Cell[];
  /** Backups taken and restored in each cell. */
  readonly restores: number;
  /** Cells that run at the same time. */
  readonly jobs: number;
  readonly output: 'text' | 'json';
}

export const USAGE = `npm run test:matrix -- [--postgres 13,17] [--mode ${MODE_NAMES.join(',')}]
                       [--role primary|standby] [--copy snapshot|volumes|files]
                       [--restores N] [--jobs N] [-o text|json]

Takes backups under write load in every mode of every version, of primaries and of standbys, with an
adversary where a copy is not atomic. Restores each backup and compares it with the acknowledged writes;
spoilt copies must be refused. Runs all of it without flags.

Exit codes: 0 every restore was complete and every spoilt copy refused, 1 otherwise or if stopped,
2 bad flags.`;

/** @throws Error with a sentence that names the flag at fault. */
export function parseOptions(args: readonly string[]): MatrixOptions {
  const { values } = parseArgs({
    args: [...args],
    options: {
      postgres: { type: 'string', default: MAJORS.join(',') },
      mode: { type: 'string' },
      role: { type: 'string' },
      copy: { type: 'string' },
      restores: { type: 'string', default: '5' },
      jobs: { type: 'string', default: String(Math.min(4, availableParallelism())) },
      output: { type: 'string', short: 'o', default: 'text' },
    },
  });
  const { output, mode, role, copy } = values;
  const modes = mode?.split(',') ?? MODE_NAMES;
  if (output !== 'text' && output !== 'json') throw new Error('--output: must be text or json');
  const majors = values.postgres.split(',').map((part) => {
    const major = MAJORS.find((known) => String(known) === part.trim());
    if (major === undefined)
      throw new Error(`--postgres: must be one or more of ${MAJORS.join(', ')}`);
    return major;
  });
  const cells = CELLS.filter(
    (cell) =>
      modes.some((name) => name === cell.mode) &&
      cell.role === (role ?? cell.role) &&
      cell.copy === (copy ?? cell.copy),
  );
  if (cells.length === 0)
    throw new Error('--mode, --role, --copy: no supported combination matches');
  const [restores, jobs] = [whole('--restores', values.restores), whole('--jobs', values.jobs)];
  return { majors, cells, restores, jobs, output };
}

function whole(flag: string, text: string): number {
  if (!/^[1-9]\d{0,2}$/.test(text))
    throw new Error(`${flag}: must be from 1 to 999, not '${text}'`);
  return Number(text);
}
