import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdir } from 'node:fs/promises';
import { homedir } from 'node:os';
import { basename, join } from 'node:path';

/**
 * Runs a script that builds what is missing and prints where it is. Once at a time, also from several
 * workers, so that nothing is built twice; and not in the way of this worker's own answers to the
 * runner, for it may take half an hour.
 *
 * @returns what it printed
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
  if (code !== 0) throw new Error(`${script} could not bring what the tests need; see above`);
  return printed.trim();
}
