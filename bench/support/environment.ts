import { spawn } from 'node:child_process';
import { once } from 'node:events';

/** What a program needs to find tools, caches and a place to work in, and the language it speaks. */
const KEPT = [
  'PATH',
  'HOME',
  'USER',
  'LANG',
  'LC_ALL',
  'TZ',
  'TMPDIR',
  'XDG_CACHE_HOME',
  'QUIESCE_CACHE',
  'MONGOMS_SYSTEM_BINARY',
] as const;

/** Set for a program that was started anew, and taken out again before it starts others. */
const MARK = 'BENCH_STARTED_ANEW';

type Environment = Readonly<Record<string, string | undefined>>;

/**
 * What every process of a benchmark gets. The rest of a shell's settings are nobody's hook:
 * NODE_EXTRA_CA_CERTS alone doubles the time that an empty script takes, and so halves what a command
 * costs over it.
 */
export function cleanEnvironment(from: Environment = process.env): Record<string, string> {
  return Object.fromEntries(
    KEPT.flatMap((name) => {
      const value = from[name];
      return value === undefined || value === '' ? [] : [[name, value]];
    }),
  );
}

/** One phrase for the results. */
export function describeEnvironment(from: Environment = process.env): string {
  const clean = cleanEnvironment(from);
  const others = Object.keys(from).filter((name) => !(name in clean));
  const beside = others.length === 0 ? '' : ` and ${others.toSorted().join(', ')}`;
  return `environment of ${Object.keys(clean).toSorted().join(', ')}${beside}`;
}

/**
 * Starts this program anew where its own environment is not clean: what it starts inherits from it, and
 * flags and settings of Node change the process that measures.
 *
 * @returns the exit code of the one that ran, or `undefined` in the one that shall go on
 */
export async function startedAnew(): Promise<number | undefined> {
  const clean = cleanEnvironment();
  const marked = process.env[MARK] !== undefined;
  delete process.env[MARK];
  const foreign = Object.keys(process.env).some((name) => !(name in clean));
  // Some systems put a variable into every process: the second start goes on with it, and says so.
  if (marked || (!foreign && process.execArgv.length === 0)) return undefined;
  const child = spawn(process.execPath, process.argv.slice(1), {
    env: { ...clean, [MARK]: '1' },
    stdio: 'inherit',
  });
  for (const signal of ['SIGINT', 'SIGTERM'] as const) {
    process.on(signal, () => void child.kill(signal));
  }
  const [code] = (await once(child, 'exit')) as [number | null];
  return code ?? 2;
}
