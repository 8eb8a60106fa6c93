import { describe, expect, it } from 'vitest';
import { createLogger } from '../src/logger.ts';
import { createMetrics } from '../src/sidecar/metrics.ts';

const labels = 'app="shop",engine="postgres"';
const seriesOf = (text: string) =>
  text.split('\n').filter((line) => line !== '' && !line.startsWith('#'));

describe('metrics', () => {
  it('export no series about an event that never happened', async () => {
    const series = seriesOf(await createMetrics({ app: 'shop', engine: 'postgres' }).text());
    const own = series.filter((line) => line.startsWith('stateful_backup_'));
    expect(own.sort()).toEqual([
      `stateful_backup_auto_thaw_total{${labels}} 0`,
      `stateful_backup_build_info{${labels},version="0.1.0"} 1`,
      `stateful_backup_frozen{${labels}} 0`,
    ]);
    expect(series.filter((line) => line.startsWith('process_'))).toHaveLength(3);
  });

  it('report a freeze from its hold to its end', async () => {
    const metrics = createMetrics({ app: 'shop', engine: 'postgres' });
    metrics.hookRun('freeze', 'success', 0.3);
    metrics.frozen(new Date(1_700_000_000_500));
    let series = seriesOf(await metrics.text());
    expect(series).toContain(`stateful_backup_frozen{${labels}} 1`);
    expect(series).toContain(
      `stateful_backup_frozen_since_timestamp_seconds{${labels}} 1700000000.5`,
    );
    expect(series).toContain(`stateful_backup_hook_duration_seconds{${labels},hook="freeze"} 0.3`);
    expect(series).toContain(
      `stateful_backup_hook_runs_total{${labels},hook="freeze",result="success"} 1`,
    );
    metrics.frozen(null);
    metrics.autoThaw();
    metrics.consistency(false);
    metrics.restoreVerified('position', true);
    metrics.restoreVerified('content', false);
    metrics.lastSuccess(new Date(1_700_000_000_000));
    metrics.hookRun('thaw', 'NOT_CONSISTENT', 0.01);
    series = seriesOf(await metrics.text());
    expect(series.some((line) => line.startsWith('stateful_backup_frozen_since'))).toBe(false);
    for (const line of [
      `stateful_backup_frozen{${labels}} 0`,
      `stateful_backup_auto_thaw_total{${labels}} 1`,
      `stateful_backup_consistency_check{${labels}} 0`,
      `stateful_backup_restore_verified{${labels},level="position"} 1`,
      `stateful_backup_restore_verified{${labels},level="content"} 0`,
      `stateful_backup_last_success_timestamp_seconds{${labels}} 1700000000`,
    ]) {
      expect(series).toContain(line);
    }
    expect(
      series.some((line) => line.startsWith('stateful_backup_hook_run_duration_seconds_bucket')),
    ).toBe(true);
  });

  it('escape the name of the application', async () => {
    const text = await createMetrics({ app: 'a"b\\c', engine: 'redis' }).text();
    expect(text).toContain('app="a\\"b\\\\c"');
  });

  it('count the CPU of the process once', async () => {
    const metrics = createMetrics({ app: '', engine: 'redis' });
    const cpu = async () =>
      Number(/process_cpu_seconds_total ([\d.]+)/.exec(await metrics.text())?.[1]);
    const first = await cpu();
    expect((await cpu()) - first).toBeLessThan(first);
  });
});

describe('the log', () => {
  it('contains no secret, whether known by its name or by its shape', () => {
    const lines: string[] = [];
    const logger = createLogger({
      level: 'info',
      base: { app: 'shop' },
      destination: { write: (line: string) => void lines.push(line) },
    });
    logger.info({ password: 'hunter2', headers: { authorization: 'Bearer hunter2' } }, 'one');
    logger.info({ env: { PGPASSWORD: 'hunter2', QUIESCE_CONTROL_TOKEN: 'hunter2' } }, 'two');
    logger.error({ err: new Error('connect postgres://me:hunter2@db/app failed') }, 'three');
    logger.warn('host=db password=hunter2 user=me; authorization: Bearer hunter2');
    const cause = new Error('mongodb+srv://u:hunter2@h/?x=1', {
      cause: new Error('PASSWORD = hunter2'),
    });
    logger.error({ err: cause }, 'redis://:hunter2@cache:6379/0');
    expect(lines).toHaveLength(5);
    expect(lines.join('')).not.toContain('hunter2');
    for (const line of lines) expect(JSON.parse(line)).toMatchObject({ app: 'shop' });
    expect(JSON.parse(lines[0] ?? '')).toMatchObject({ level: 'info', msg: 'one' });
    expect(lines[2]).toContain('@db/app failed');
  });
});
