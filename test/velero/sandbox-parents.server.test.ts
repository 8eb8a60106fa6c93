import { build } from 'esbuild';
import { spawn } from 'node:child_process';
import { readFile, writeFile } from 'node:fs/promises';
import { join, resolve } from 'node:path';
import { expect, test } from 'vitest';
import { makeTempDir } from '../support/temp-dir.ts';

/** Whether a process runs; one that has ended and that nobody waits for does not. */
async function runs(pid: number): Promise<boolean> {
  const stat = await readFile(`/proc/${pid}/stat`, 'utf8').catch(() => '');
  return stat !== '' && !/\) [ZX] /.test(stat);
}

test('a runner ends when the npm that started it is killed', async () => {
  const dir = await makeTempDir();
  const watcher = resolve('test/velero/sandbox/parents.ts');
  const program = `import { writeFileSync } from 'node:fs';
import { watchParents } from ${JSON.stringify(watcher)};
await watchParents(() => process.exit(130), 50);
writeFileSync('pid', String(process.pid));
setTimeout(() => {}, 60_000);`;
  await build({
    stdin: { contents: program, resolveDir: dir, loader: 'ts' },
    outfile: join(dir, 'runner.mjs'),
    bundle: true,
    platform: 'node',
    format: 'esm',
    logLevel: 'error',
  });
  // As package.json has it: npm, a shell that names npm, Node.
  const scripts = { start: 'npm --version >version && node runner.mjs' };
  await writeFile(join(dir, 'package.json'), JSON.stringify({ name: 'x', scripts }));
  const npm = spawn('npm', ['run', 'start'], { cwd: dir, stdio: 'ignore' });
  let runner = 0;
  await expect
    .poll(async () => (runner = Number(await readFile(join(dir, 'pid'), 'utf8').catch(() => 0))), {
      timeout: 60_000,
    })
    .toBeGreaterThan(0);
  expect(await runs(runner)).toBe(true);
  npm.kill('SIGKILL');
  await expect.poll(() => runs(runner), { timeout: 20_000 }).toBe(false);
});
