import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdir } from 'node:fs/promises';
import { homedir } from 'node:os';
import { basename, join } from 'node:path';

/**
 * Runs a script that builds missing tools and prints their folder. A lock lets only one worker run it at
 * a time, so that nothing is built twice. It is asynchronous because it may take half an hour, and this
 * worker must keep answering the test runner.
 *
 * @returns the output of the script
 */
export async function built(script: string): Promise<string> {
  const cache = process.env['QUIESCE_CACHE'] ?? join(homedir(), '.cache', 'quiesce');
  await mkdir(cache, { recursive: true });
  const lock = join(cache, `${basename(script)}.lock`);
  const child = spawn('flock', [lock, process.execPath, script], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  let printed = '';
  child.stdout.setEncoding('utf8').on('data', (text: string) => (printed += text));
  const [code] = (await once(child, 'close')) as [number | null];
  if (code !== 0) throw new Error(`${script} could not build what the tests need; see above`);
  return printed.trim();
}
