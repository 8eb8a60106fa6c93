import { spawn } from 'node:child_process';
import { open, mkdir, readFile, rm, writeFile } from 'node:fs/promises';
import { setTimeout as sleep } from 'node:timers/promises';
import { fingerprint, isAlive } from '../../../src/testbed/os.ts';
import { state } from '../layout.ts';

const STOP_WITHIN_MS = 10_000;

/** Starts a program of the cluster in the background; what it prints goes to `log/NAME.log` in the state folder. */
export async function startDaemon(
  name: string,
  program: string,
  args: readonly string[],
  env: Readonly<Record<string, string>> = {},
): Promise<void> {
  await mkdir(state('log'), { recursive: true });
  const log = await open(state('log', `${name}.log`), 'a');
  try {
    const child = spawn(program, args, {
      detached: true,
      env: { ...process.env, ...env },
      stdio: ['ignore', log.fd, log.fd],
    });
    const started = new Promise((resolve, reject) => {
      child.once('spawn', resolve);
      child.once('error', reject);
    });
    await started;
    child.unref();
    await writeFile(state('pid', name), await fingerprint(child.pid ?? 0));
  } finally {
    await log.close();
  }
}

/** Ends it as a service manager does: SIGTERM, then SIGKILL after 10 s. */
export async function stopDaemon(name: string): Promise<void> {
  const recorded = await recordOf(name);
  if (recorded === undefined) return;
  const pid = Number(recorded.split(' ')[0]);
  if (await isAlive(recorded)) process.kill(pid, 'SIGTERM');
  const deadline = performance.now() + STOP_WITHIN_MS;
  while (await isAlive(recorded)) {
    if (performance.now() > deadline) process.kill(pid, 'SIGKILL');
    await sleep(50);
  }
  await rm(state('pid', name), { force: true });
}

export async function isRunning(name: string): Promise<boolean> {
  const recorded = await recordOf(name);
  return recorded !== undefined && (await isAlive(recorded));
}

async function recordOf(name: string): Promise<string | undefined> {
  return await readFile(state('pid', name), 'utf8').catch(() => undefined);
}
