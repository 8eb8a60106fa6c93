import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { describe, expect, it } from 'vitest';
import type { DemoReport } from '../../src/demo/report.ts';
import { isAlive } from '../../src/testbed/os.ts';
import { cliPath } from '../../src/testbed/processes.ts';
import { expectNothingLeft, kill, processesOf, start } from './run.ts';

describe('quiesce demo', () => {
  it('says without a terminal what it does in plain lines, at most 80 columns in the summary', async () => {
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

  it('fails by name when the server dies while it is frozen', async () => {
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
