import { describe, expect, it } from 'vitest';
import type { DemoReport } from '../../src/demo/report.ts';
import { expectNothingLeft, start, startWith, workspaces } from './run.ts';

describe('quiesce demo', () => {
  it('ends with every check held, as one JSON document, and leaves nothing behind', async () => {
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

  it('names the line that installs a server where there is no Redis and no Valkey', async () => {
    const demo = await startWith({ PATH: '/nowhere' }, '--engine', 'redis');
    expect(await demo.ended).toBe(2);
    expect(demo.text()).toMatch(/neither redis-server nor valkey-server .*apt-get install redis/s);
    expect(await workspaces(demo.tmp)).toEqual([]);
  });
});
