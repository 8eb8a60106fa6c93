import { spawn } from 'node:child_process';
import { once } from 'node:events';

/** The variables with which a program finds its tools, caches, folders, language and time zone. */
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

/** Set for a restarted program, which removes it before it starts others. */
const MARK = 'BENCH_STARTED_ANEW';

type Environment = Readonly<Record<string, string | undefined>>;

/**
 * The environment of every process of a benchmark. A hook does not have the rest of a shell's settings,
 * and they distort ratios: NODE_EXTRA_CA_CERTS alone doubles the time of an empty script, and so halves
 * the cost of a command relative to it.
 */
export function cleanEnvironment(from: Environment = process.env): Record<string, string> {
  return Object.fromEntries(
    KEPT.flatMap((name) => {
      const value = from[name];
      return value === undefined || value === '' ? [] : [[name, value]];
    }),
  );
}

/** One phrase that lists the variables, for the results. */
export function describeEnvironment(from: Environment = process.env): string {
  const clean = cleanEnvironment(from);
  const others = Object.keys(from).filter((name) => !(name in clean));
  const rest = others.length === 0 ? '' : ` and ${others.toSorted().join(', ')}`;
  return `environment of ${Object.keys(clean).toSorted().join(', ')}${rest}`;
}

/**
 * Restarts this program in a clean environment if its own is not clean. Its children inherit its
 * environment, and flags and settings of Node change the process that measures.
 *
 * @returns the exit code of the restarted program, or `undefined` if this process is to continue
 */
export async function restartCleanly(): Promise<number | undefined> {
  const clean = cleanEnvironment();
  const marked = process.env[MARK] !== undefined;
  delete process.env[MARK];
  const foreign = Object.keys(process.env).some((name) => !(name in clean));
  // Some systems put a variable into every process: the second start continues with it, and the results
  // list it.
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
