import { execFile, spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync } from 'node:fs';
import { mkdir, mkdtemp, rename, rm, writeFile } from 'node:fs/promises';
import { homedir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { cleanEnv } from '../../src/testbed/processes.ts';

const run = promisify(execFile);

const VERSION = '4.32.5';

/** Installs into a separate folder, which needs neither venv nor root and changes no Python installation. */
async function install(): Promise<string> {
  const { stdout } = await run('python3', [
    '-c',
    'import sys; print(sys.implementation.cache_tag)',
  ]);
  const cache = process.env['QUIESCE_CACHE'] ?? join(homedir(), '.cache', 'quiesce');
  const folder = join(cache, `schemathesis-${VERSION}-${stdout.trim()}`);
  if (existsSync(folder)) return folder;
  await mkdir(cache, { recursive: true });
  const own = await mkdtemp(`${folder}.`);
  try {
    const what = ['--quiet', '--disable-pip-version-check', '--target', own];
    await run('python3', ['-m', 'pip', 'install', ...what, `schemathesis==${VERSION}`]);
    // Another worker may have been faster; both folders are the same.
    await rename(own, folder).catch((error: unknown) => {
      if (!existsSync(folder)) throw error;
    });
    return folder;
  } finally {
    await rm(own, { recursive: true, force: true });
  }
}

export interface Outcome {
  readonly code: number | null;
  readonly output: string;
}

/** Runs `schemathesis run` with the same requests each time. @returns its exit code and output */
export async function schemathesis(
  args: readonly string[],
  config: string,
  dir: string,
): Promise<Outcome> {
  const folder = await install();
  const file = join(dir, 'schemathesis.toml');
  await writeFile(file, config);
  const child = spawn(
    'python3',
    ['-m', 'schemathesis.cli', '--config-file', file, 'run', ...args],
    {
      cwd: dir,
      env: cleanEnv({ PYTHONPATH: folder, PYTHONHASHSEED: '0', NO_COLOR: '1' }),
      stdio: ['ignore', 'pipe', 'pipe'],
    },
  );
  let output = '';
  const collect = (chunk: Buffer): void => void (output += chunk.toString());
  child.stdout.on('data', collect);
  child.stderr.on('data', collect);
  const [code] = (await once(child, 'close')) as [number | null];
  return { code, output };
}
