import { parseArgs } from 'node:util';
import type { FaultEngine } from './engine.ts';
import { loadFaultEngine } from './engines.ts';

export interface HarnessOptions {
  readonly runs: number;
  readonly seed: number;
  /** Play only this run of the seed. Seed and run decide everything that a run does. */
  readonly only: number | undefined;
  readonly engine: string;
  readonly version: string;
  /** The way to freeze in all runs; `undefined`: the seed of each run picks one. */
  readonly mode: string | undefined;
  /** The share of runs whose copies are restored although nothing is suspicious. */
  readonly restore: number;
  readonly output: 'text' | 'json';
}

export const USAGE = `npm run test:faults -- [--runs N] [--seed S] [--only K] [--engine NAME] [--mode MODE]
                       [--version V | --postgres 13…18 | --server redis-server|valkey-server]
                       [--restore SHARE] [-o text|json]

Freezes real servers under load while faults strike at moments that a seed picks, and judges each run from
outside: writable within the lease, nothing left behind, no consistent freeze that a restore refutes.

  --runs N        number of runs (12)
  --seed S        decides, with the number of a run, everything that happens in it (random, printed)
  --only K        only run K of the seed, to replay a finding
  --engine NAME   postgres | redis | mongodb (postgres)
  --mode MODE     the way to freeze in all runs; without it the seed picks one for each run
  --version V     version of the server; --postgres and --server are aliases
  --restore SHARE share of runs whose copies are restored although nothing is suspicious (0.2)
  -o text|json

Exit codes: 0 no finding, 1 findings or stopped, 2 bad flags.`;

/** @throws Error that names the flag at fault */
export async function parseOptions(
  args: readonly string[],
): Promise<{ readonly options: HarnessOptions; readonly engine: FaultEngine }> {
  const { values } = parseArgs({
    args: [...args],
    options: {
      runs: { type: 'string', default: '12' },
      seed: { type: 'string', default: String(Math.floor(Math.random() * 1e9)) },
      only: { type: 'string' },
      engine: { type: 'string', default: 'postgres' },
      version: { type: 'string' },
      postgres: { type: 'string' },
      server: { type: 'string' },
      mode: { type: 'string' },
      restore: { type: 'string', default: '0.2' },
      output: { type: 'string', short: 'o', default: 'text' },
    },
  });
  const { mode, output } = values;
  const engine = await loadFaultEngine(values.engine);
  if (output !== 'text' && output !== 'json') throw new Error('--output: must be text or json');
  const version = values.version ?? values.postgres ?? values.server ?? engine.versions[0] ?? '';
  if (!engine.versions.includes(version)) {
    throw new Error(`--version: must be one of ${engine.versions.join(', ')}`);
  }
  const modes = Object.keys(engine.modes);
  if (mode !== undefined && !modes.includes(mode)) {
    throw new Error(`--mode: must be one of ${modes.join(', ')}`);
  }
  const restore = Number(values.restore);
  if (!(restore >= 0 && restore <= 1)) throw new Error('--restore: must be a share from 0 to 1');
  const only = values.only === undefined ? undefined : whole('--only', values.only);
  const [runs, seed] = [whole('--runs', values.runs), whole('--seed', values.seed)];
  const { name } = engine;
  const options = { runs, seed, only, engine: name, version, mode, restore, output } as const;
  return { options, engine };
}

function whole(flag: string, text: string): number {
  if (!/^\d{1,9}$/.test(text)) throw new Error(`${flag}: must be a whole number, not '${text}'`);
  return Number(text);
}
