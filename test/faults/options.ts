import { parseArgs } from 'node:util';
import { MAJORS } from '../../src/demo/options.ts';

export interface HarnessOptions {
  readonly runs: number;
  readonly seed: number;
  /** Only this run of the seed; the plan of a run depends on nothing but the two. */
  readonly only: number | undefined;
  readonly postgres: number;
  /** The share of runs whose copy is restored although nothing about it is suspicious. */
  readonly restore: number;
  readonly output: 'text' | 'json';
}

export const USAGE = `npm run test:faults -- [--runs N] [--seed S] [--only K] [--postgres 13…18]
                       [--restore SHARE] [--engine postgres] [-o text|json]`;

/** @throws Error that names the flag at fault. */
export function parseOptions(args: readonly string[]): HarnessOptions {
  const { values } = parseArgs({
    args: [...args],
    options: {
      runs: { type: 'string', default: '12' },
      seed: { type: 'string', default: String(Math.floor(Math.random() * 1e9)) },
      only: { type: 'string' },
      postgres: { type: 'string', default: '17' },
      engine: { type: 'string', default: 'postgres' },
      restore: { type: 'string', default: '0.2' },
      output: { type: 'string', short: 'o', default: 'text' },
    },
  });
  const { engine, output } = values;
  if (engine !== 'postgres') throw new Error(`--engine: there are no faults for '${engine}' yet`);
  if (output !== 'text' && output !== 'json') throw new Error('--output: must be text or json');
  const postgres = whole('--postgres', values.postgres);
  if (!MAJORS.some((major) => major === postgres)) {
    throw new Error(`--postgres: must be one of ${MAJORS.join(', ')}`);
  }
  const restore = Number(values.restore);
  if (!(restore >= 0 && restore <= 1)) throw new Error('--restore: must be a share from 0 to 1');
  const only = values.only === undefined ? undefined : whole('--only', values.only);
  const [runs, seed] = [whole('--runs', values.runs), whole('--seed', values.seed)];
  return { runs, seed, only, postgres, restore, output };
}

function whole(flag: string, text: string): number {
  if (!/^\d{1,9}$/.test(text)) throw new Error(`${flag}: must be a whole number, not '${text}'`);
  return Number(text);
}
