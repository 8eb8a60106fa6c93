import { build } from 'esbuild';
import { spawn } from 'node:child_process';
import { join, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';

const root = resolve(fileURLToPath(import.meta.url), '../../..');

/** Runs a program written in TypeScript with this process's arguments; its exit code becomes ours. */
export async function runBundled(entry) {
  // Inside the checkout, so that packages and dist/cli.js are found from there.
  const outfile = join(root, '.cache', entry.replace(/\.ts$/, `-${process.pid}.mjs`));
  await build({
    entryPoints: [join(root, entry)],
    outfile,
    bundle: true,
    packages: 'external',
    platform: 'node',
    format: 'esm',
    target: 'node20',
    logLevel: 'warning',
  });
  const child = spawn(process.execPath, [outfile, ...process.argv.slice(2)], { stdio: 'inherit' });
  for (const signal of ['SIGINT', 'SIGTERM']) process.on(signal, () => child.kill(signal));
  child.on('exit', (code) => (process.exitCode = code ?? 1));
}
