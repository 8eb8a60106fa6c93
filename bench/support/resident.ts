import { spawn } from 'node:child_process';
import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { freePort } from '../../src/testbed/postgres/server.ts';
import { get } from '../../src/testbed/processes.ts';
import type { Workspace } from '../../src/testbed/workspace.ts';
import { cleanEnvironment } from './environment.ts';

const EMPTY_SERVER = `import { createServer } from 'node:http';
createServer((request, response) => response.end('{}')).listen(Number(process.argv[2]), '127.0.0.1');
`;

/** The resident memory of a process in MB, as the kernel counts it. */
export async function resident(pid: number | undefined): Promise<number> {
  const text = await readFile(`/proc/${pid}/status`, 'utf8');
  return Number(/^VmRSS:\s+(\d+) kB$/m.exec(text)?.[1]) / 1_024;
}

/** Starts an HTTP server that does nothing; resolves after its first answer. */
export async function startEmpty(workspace: Workspace) {
  const script = join(workspace.dir, 'empty.mjs');
  await writeFile(script, EMPTY_SERVER);
  const port = await freePort();
  const args = [script, String(port)];
  const child = spawn(process.execPath, args, { env: cleanEnvironment(), stdio: 'ignore' });
  await workspace.defer(async () => child.kill());
  while (!(await get({ host: '127.0.0.1', port }, '/').catch(() => undefined))) await sleep(20);
  return { pid: child.pid, where: { host: '127.0.0.1', port }, stop: (): boolean => child.kill() };
}
