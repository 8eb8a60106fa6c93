import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, describe, expect, it } from 'vitest';
import { cleanEnvironment, describeEnvironment } from '../../bench/support/environment.ts';

const SHELL = {
  PATH: '/bin',
  HOME: '/root',
  TMPDIR: '',
  NODE_OPTIONS: '--no-warnings',
  NODE_EXTRA_CA_CERTS: '/ca.pem',
  NODE_COMPILE_CACHE: '/tmp/c',
  OPENSSL_CONF: '/o.cnf',
  LD_PRELOAD: '/l.so',
  MALLOC_ARENA_MAX: '1',
  UV_THREADPOOL_SIZE: '64',
  PGOPTIONS: '-c jit=off',
  QUIESCE_LOG_LEVEL: 'trace',
};

let folder: string | undefined;
afterEach(() => folder && rm(folder, { recursive: true, force: true }));

describe('the environment of a benchmark', () => {
  it('keeps the variables that locate tools and drops those that change how programs run', () => {
    expect(cleanEnvironment(SHELL)).toEqual({ PATH: '/bin', HOME: '/root' });
  });

  it('is listed in the results, together with any other variable', () => {
    expect(describeEnvironment({ PATH: '/bin', HOME: '/' })).toBe('environment of HOME, PATH');
    expect(describeEnvironment({ PATH: '/bin', NODE_OPTIONS: 'x', A: 'b' })).toBe(
      'environment of PATH and A, NODE_OPTIONS',
    );
  });

  it('is clean for the measuring process and its children, whatever the shell sets', async () => {
    folder = await mkdtemp(join(tmpdir(), 'quiesce-bench-'));
    const program = join(folder, 'program.ts');
    await writeFile(
      program,
      `import { execFileSync } from 'node:child_process';
       import { restartCleanly } from '${process.cwd()}/bench/support/environment.ts';
       const ended = await restartCleanly();
       if (ended === undefined) {
         const child = execFileSync(process.execPath, ['-p', 'JSON.stringify(Object.keys(process.env))']);
         const seen = [Object.keys(process.env), JSON.parse(child.toString()), process.argv.slice(2)];
         process.stdout.write(JSON.stringify(seen));
         process.exitCode = 7;
       } else process.exitCode = ended;`,
    );
    const env = {
      ...SHELL,
      PATH: process.env['PATH'],
      NODE_OPTIONS: '--no-warnings',
      LD_PRELOAD: '',
    };
    const child = spawn(process.execPath, ['scripts/run-ts.mjs', program, 'a', 'b'], { env });
    let output = '';
    child.stdout.on('data', (piece: Buffer) => (output += piece.toString()));
    expect((await once(child, 'close'))[0]).toBe(7);
    expect(JSON.parse(output)).toEqual([
      ['PATH', 'HOME'],
      ['PATH', 'HOME'],
      ['a', 'b'],
    ]);
  });
});
