// Runs a TypeScript program of this repository on any supported Node:
// node scripts/run-ts.mjs bench/writers.ts --rounds 10
import { build } from 'esbuild';
import { spawn } from 'node:child_process';
import { rm } from 'node:fs/promises';
import { basename, dirname, join, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';

const root = resolve(dirname(fileURLToPath(import.meta.url)), '..');
const [file, ...args] = process.argv.slice(2);
if (!file?.endsWith('.ts')) {
  process.stderr.write('Usage: node scripts/run-ts.mjs FILE.ts [arguments]\n');
  process.exit(2);
}
// Inside the checkout, so that the program finds packages and dist/cli.js. The name has the process id,
// so that two simultaneous runs do not overwrite each other's program.
const outfile = join(root, '.cache/run-ts', `${basename(file, '.ts')}-${process.pid}.mjs`);
await build({
  entryPoints: [resolve(file)],
  outfile,
  bundle: true,
  packages: 'external',
  platform: 'node',
  format: 'esm',
  target: 'node20',
  logLevel: 'warning',
});
const child = spawn(process.execPath, [outfile, ...args], { stdio: 'inherit' });
for (const signal of ['SIGINT', 'SIGTERM']) process.on(signal, () => child.kill(signal));
child.on('exit', (code) => {
  process.exitCode = code ?? 1;
  void rm(outfile, { force: true });
});
