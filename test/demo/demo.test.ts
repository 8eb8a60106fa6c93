import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterEach, describe, expect, it } from 'vitest';
import { isAlive } from '../../src/testbed/os.ts';
import { cliPath } from '../../src/testbed/processes.ts';
import type { DemoReport } from '../../src/demo/report.ts';
import { tempDir } from './server.ts';

const cleanups: (() => Promise<unknown>)[] = [];
afterEach(async () => {
  for (const cleanup of cleanups.splice(0).toReversed()) await cleanup();
});

interface Demo {
  readonly child: ChildProcess;
  /** The TMPDIR of this run: everything that it creates is in there. */
  readonly tmp: string;
  readonly ended: Promise<number | null>;
  text(): string;
  /** Resolves when the output contains the text. */
  printed(text: string): Promise<void>;
}

const start = (...args: string[]): Promise<Demo> => startWith({}, ...args);

async function startWith(
  extra: Readonly<Record<string, string>>,
  ...args: string[]
): Promise<Demo> {
  const { dir, remove } = await tempDir();
  cleanups.push(remove);
  const env = { ...process.env, TMPDIR: dir, ...extra };
  const child = spawn(process.execPath, [cliPath(), 'demo', '--seconds', '1', ...args], { env });
  const closed = once(child, 'close') as Promise<[number | null]>;
  cleanups.push(async () => {
    child.kill('SIGTERM');
    await closed;
  });
  let text = '';
  const collect = (chunk: Buffer): void => void (text += chunk.toString());
  child.stdout.on('data', collect);
  child.stderr.on('data', collect);
  const printed = async (wanted: string): Promise<void> => {
    while (!text.includes(wanted)) {
      if (child.exitCode !== null) throw new Error(`ended without '${wanted}': ${text}`);
      await new Promise((resolve) => setTimeout(resolve, 20));
    }
  };
  return { child, tmp: dir, ended: closed.then(([code]) => code), text: () => text, printed };
}

const workspaces = async (tmp: string): Promise<string[]> =>
  (await readdir(tmp)).filter((name) => name.startsWith('quiesce-demo-'));

/** Fingerprints of the demo's processes, in order: source, its sidecar, the restored pair. */
async function processesOf({ tmp }: Demo): Promise<string[]> {
  const [name] = await workspaces(tmp);
  const text = await readFile(join(tmp, name ?? '', 'processes'), 'utf8');
  return text.trim().split('\n');
}

async function expectNothingLeft(demo: Demo, prints: readonly string[]): Promise<void> {
  expect(await workspaces(demo.tmp)).toEqual([]);
  expect(await readFile('/proc/self/mounts', 'utf8').catch(() => '')).not.toContain(demo.tmp);
  expect(await Promise.all(prints.map(isAlive))).toEqual(prints.map(() => false));
}

const kill = (print: string | undefined): void => {
  process.kill(Number(print?.split(' ')[0]), 'SIGKILL');
};

describe('quiesce demo', () => {
  it('passes every check, prints one JSON document and leaves nothing behind', async () => {
    const demo = await start('-o', 'json');
    expect(await demo.ended).toBe(0);
    const report = JSON.parse(demo.text()) as DemoReport;
    expect(report.verdict).toBe('verified');
    expect(report.failed).toBeNull();
    const proven = report.checks.map(({ name }) => name).join(' ');
    expect(proven).toBe(
      'freeze thaw writers live left-over evidence prepare-restore verified-at-start verify ' +
        'acknowledged no-gap counts sum balances payload amcheck writable',
    );
    expect(report.receipt).toMatchObject({
      verdict: 'consistent',
      mode: 'sealed',
      copy: 'snapshot',
    });
    expect(report.acknowledgedBeforeFreeze).toBeGreaterThan(0);
    await expectNothingLeft(demo, []);
  });

  it('prints plain lines without a terminal, and a summary of at most 80 columns', async () => {
    const demo = await start('--postgres', '13');
    expect(await demo.ended).toBe(0);
    expect(demo.text()).toContain('✓ quiesce freeze: held, sealed at');
    expect(demo.text()).toContain('VERIFIED');
    expect(demo.text()).not.toContain('\u001b');
    const lines = demo.text().split('Frozen  ')[1]?.split('\n') ?? [];
    expect(Math.max(...lines.map((line) => line.length))).toBeLessThanOrEqual(80);
  });

  it('holds the writers of Redis, restores every acknowledged write and leaves nothing behind', async () => {
    const demo = await start('--engine', 'redis', '--server', 'redis-server', '-o', 'json');
    expect(await demo.ended).toBe(0);
    const report = JSON.parse(demo.text()) as DemoReport;
    expect(report.failed).toBeNull();
    expect(report.checks.map(({ name }) => name).join(' ')).toBe(
      'freeze thaw still writers live left-over evidence prepare-restore verified-at-start verify ' +
        'acknowledged no-gap values check-aof writable',
    );
    expect(report.receipt).toMatchObject({ verdict: 'consistent', writesBlocked: true });
    expect(report.acknowledgedBeforeFreeze).toBeGreaterThan(0);
    expect(report.writers?.heldWrites).toBe(0);
    expect(report.writers?.held?.p50).toBeGreaterThan(report.commandsMs?.held ?? 0);
    await expectNothingLeft(demo, []);
  });

  it('prints the command that installs a server if neither Redis nor Valkey is installed', async () => {
    const demo = await startWith({ PATH: '/nowhere' }, '--engine', 'redis');
    expect(await demo.ended).toBe(2);
    expect(demo.text()).toMatch(/neither redis-server nor valkey-server .*apt-get install redis/s);
    expect(await workspaces(demo.tmp)).toEqual([]);
  });

  it('names the failed check when the server dies while it is frozen', async () => {
    const demo = await start();
    await demo.printed('quiesce freeze: held');
    const prints = await processesOf(demo);
    kill(prints[0]);
    expect(await demo.ended).toBe(7);
    expect(demo.text()).toMatch(/NOT VERIFIED {2}check '(hold|snapshot|thaw)' failed/);
    expect(demo.text()).not.toMatch(/^ *VERIFIED/m);
    await expectNothingLeft(demo, prints);
  });

  it('names the failed check when the sidecar dies while it holds the freeze', async () => {
    const demo = await start();
    await demo.printed('quiesce freeze: held');
    const prints = await processesOf(demo);
    kill(prints[1]);
    expect(await demo.ended).toBe(7);
    expect(demo.text()).toContain("NOT VERIFIED  check 'thaw' failed");
    expect(demo.text()).toContain('SIDECAR_UNREACHABLE');
    await expectNothingLeft(demo, prints);
  });

  it('cleans up when it is interrupted', async () => {
    const demo = await start();
    await demo.printed('quiesce freeze: held');
    const prints = await processesOf(demo);
    demo.child.kill('SIGINT');
    expect(await demo.ended).toBe(130);
    await expectNothingLeft(demo, prints);
  });

  it('keeps everything running with --keep, until --stop', async () => {
    const demo = await start('--keep', '-o', 'json');
    expect(await demo.ended).toBe(0);
    const { running } = JSON.parse(demo.text()) as DemoReport;
    const prints = await processesOf(demo);
    expect(await Promise.all(prints.map(isAlive))).toEqual([true, true, true, true]);
    for (const pair of [running?.source, running?.restored]) {
      const answer = await fetch(`http://127.0.0.1:${pair?.controlPort}/v1/status`);
      expect(await answer.json()).toMatchObject({ state: 'thawed', engine: { reachable: true } });
    }
    const env = { ...process.env, TMPDIR: demo.tmp };
    const stop = spawn(process.execPath, [cliPath(), 'demo', '--stop'], { env, stdio: 'ignore' });
    expect(await once(stop, 'close')).toEqual([0, null]);
    await expectNothingLeft(demo, prints);
  });

  it('cleans up after a demo that was killed with SIGKILL', async () => {
    const demo = await start();
    await demo.printed('quiesce freeze: held');
    const prints = await processesOf(demo);
    demo.child.kill('SIGKILL');
    await demo.ended;
    expect(await isAlive(prints[0] ?? '')).toBe(true);
    const env = { ...process.env, TMPDIR: demo.tmp };
    const stop = spawn(process.execPath, [cliPath(), 'demo', '--stop'], { env, stdio: 'ignore' });
    await once(stop, 'close');
    await expectNothingLeft(demo, prints);
  });
});
