import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { readdir, readFile, writeFile } from 'node:fs/promises';
import { resolve } from 'node:path';
import { fingerprint, isAlive } from '../../../src/testbed/os.ts';
import { NETWORK, STATE, state } from '../layout.ts';
import { until } from '../wait.ts';

/**
 * Runs this program again in namespaces of its own for mounts, network and processes, and waits for its end.
 * Unless `keep`, the kernel ends everything in them together with this process, also after a SIGKILL.
 *
 * @returns the exit code of the program inside
 */
export async function runInSandbox(args: readonly string[], keep: boolean): Promise<number> {
  await writeFile(state('resolv.conf'), resolvConf());
  const command = [
    ...(keep ? ['setsid', '--fork', '--wait'] : ['setpriv', '--pdeathsig', 'KILL']),
    'unshare',
    '--mount',
    '--net',
    '--pid',
    '--fork',
    '--mount-proc',
    '--propagation',
    'private',
    '--kill-child=SIGKILL',
    '--',
    resolve('test/velero/sandbox/init.sh'),
    state(),
    keep ? '1' : '0',
    ...inside(args),
  ];
  const child = start(command, keep);
  await recordInit();
  return keep ? await exitCodeInside(child) : await endOf(child);
}

/** Runs this program again in the sandbox that a run with `--keep` left. */
export async function runInKept(args: readonly string[]): Promise<number> {
  const recorded = await readFile(state('sandbox'), 'utf8').catch(() => undefined);
  if (recorded === undefined || !(await isAlive(recorded))) {
    throw new Error('No cluster is kept. Start one with: npm run test:velero -- --keep');
  }
  const [pid = ''] = recorded.split(' ');
  const enter = [
    'nsenter',
    '--target',
    pid,
    '--mount',
    '--net',
    '--pid',
    `--wdns=${process.cwd()}`,
  ];
  return await endOf(start([...enter, ...inside(args)], false));
}

function inside(args: readonly string[]): string[] {
  return [process.execPath, process.argv[1] ?? '', '--inside', ...args];
}

/** A kept sandbox outlives this process, so it must not hold its output open: a pipe of the caller's would wait for it. */
function start([program = '', ...args]: readonly string[], keep: boolean): ChildProcess {
  if (!keep) return spawn(program, args, { stdio: ['ignore', 'inherit', 'inherit'] });
  const child = spawn(program, args, { stdio: ['ignore', 'pipe', 'pipe'] });
  child.stdout.on('data', (chunk: Buffer) => process.stdout.write(chunk));
  child.stderr.on('data', (chunk: Buffer) => process.stderr.write(chunk));
  return child;
}

async function endOf(child: ChildProcess): Promise<number> {
  if (child.exitCode !== null) return child.exitCode;
  const [code] = (await once(child, 'exit')) as [number | null];
  return code ?? 1;
}

/** The sandbox lives on: what counts is the end of the program in it. */
async function exitCodeInside(child: ChildProcess): Promise<number> {
  const text = await until('the run inside', 3 * 3_600_000, async () => {
    if (child.exitCode !== null && child.exitCode !== 0) return `${child.exitCode}`;
    return await readFile(state('exit-code'), 'utf8').catch(() => undefined);
  });
  child.unref();
  return Number(text);
}

/** Writes down which process is the sandbox's first one, so that the next run can end it. */
async function recordInit(): Promise<void> {
  // Other clusters may run from the same checkout, each with a state folder of its own.
  const mine = `${resolve('test/velero/sandbox/init.sh')}\0${STATE}\0`;
  const pid = await until('the sandbox', 10_000, async () => {
    for (const name of await readdir('/proc')) {
      if (!/^\d+$/.test(name)) continue;
      const status = await readFile(`/proc/${name}/status`, 'utf8').catch(() => '');
      // NSpid has the ids of a process in all namespaces: the first one of its own has 1 there.
      if (!/^NSpid:\t\d+\t1$/m.test(status)) continue;
      const command = await readFile(`/proc/${name}/cmdline`, 'utf8').catch(() => '');
      if (command.includes(mine)) return Number(name);
    }
    return null;
  });
  await writeFile(state('sandbox'), await fingerprint(pid));
}

function resolvConf(): string {
  return `nameserver ${NETWORK.node}\nsearch svc.cluster.local cluster.local\n`;
}
