import { describe, expect, test } from 'vitest';
import { Groups } from '../../../src/cluster/exporter/labels.ts';
import { createExporterMetrics } from '../../../src/cluster/exporter/metrics.ts';
import { RunLedger, runOf } from '../../../src/cluster/exporter/runs.ts';
import type { RunVerdict, SnapshotRun } from '../../../src/cluster/snapshot/document.ts';

const NOTHING = { snapshots: () => [], restores: () => [], drills: () => [] };

let made = 0;

interface Own {
  readonly verdict?: RunVerdict;
  readonly created?: string;
  readonly ended?: string;
  readonly labels?: Readonly<Record<string, string>>;
  readonly namespace?: string;
}

/** The ConfigMap of a run. */
function record({
  verdict = 'proven',
  created = '10:00',
  ended = created,
  labels = {},
  namespace = 'shop',
}: Own) {
  const run: SnapshotRun = {
    apiVersion: 'quiesce.dev/v1',
    kind: 'SnapshotRun',
    id: 'orders-1',
    group: 'orders',
    verdict,
    members: [],
    problems: [],
    startedAt: `2026-01-01T${ended}:00.000Z`,
    endedAt: `2026-01-01T${ended}:00.000Z`,
    freezeSpreadMs: 250,
  };
  return {
    metadata: {
      uid: `run-${(made += 1)}`,
      name: 'r',
      namespace,
      creationTimestamp: `2026-01-01T${created}:00Z`,
      labels: { 'quiesce.dev/report': 'snapshot', ...labels },
    },
    data: { 'report.json': JSON.stringify(run) },
  };
}

function stateOf(...objects: object[]) {
  const ledger = new RunLedger(new Groups());
  for (const object of objects) {
    const run = runOf(object);
    if (run !== undefined) ledger.see(run);
  }
  return ledger.groups();
}

const seconds = (time: string): number => Date.parse(`2026-01-01T${time}:00Z`);

describe('the state of a group', () => {
  test('is the verdict of its newest run, and the end of its newest proven one', () => {
    const runs = [
      record({ created: '12:00', verdict: 'failed' }),
      record({ created: '10:00' }),
      record({ created: '11:00' }),
    ];
    for (const order of [runs, runs.toReversed()]) {
      const [state, ...more] = stateOf(...order);
      expect(more).toEqual([]);
      expect(state).toMatchObject({
        namespace: 'shop',
        group: 'orders',
        last: { verdict: 'failed' },
      });
      expect(state?.success?.endedAt).toBe(seconds('11:00'));
    }
  });

  test('belongs to the namespace of its ConfigMap, so a report speaks for no other', () => {
    const groups = stateOf(record({}), record({ namespace: 'other', verdict: 'failed' }));
    expect(groups.map(({ namespace, last }) => [namespace, last?.verdict])).toEqual([
      ['shop', 'proven'],
      ['other', 'failed'],
    ]);
  });

  test('a clock that is ahead makes no run newer than its record', () => {
    const ahead = record({ created: '10:00', ended: '12:00' });
    const [state] = stateOf(ahead, record({ created: '11:00', verdict: 'failed' }));
    expect(state?.last?.verdict).toBe('failed');
    expect(state?.success?.endedAt).toBe(seconds('10:00'));
  });

  test('a report that was restored from a backup does not renew the success', () => {
    const labels = { 'velero.io/restore-name': 'r' };
    const old = record({ created: '12:00', ended: '09:00', labels });
    const [state] = stateOf(old, record({ created: '11:00', verdict: 'failed' }));
    expect(state?.last?.verdict).toBe('failed');
    expect(state?.success?.endedAt).toBe(seconds('09:00'));
  });

  test('of two runs in one second the worse verdict counts', () => {
    const runs = [record({ verdict: 'failed' }), record({}), record({ verdict: 'unproven' })];
    for (const order of [runs, runs.toReversed()]) {
      expect(stateOf(...order)[0]?.last?.verdict).toBe('failed');
    }
  });

  test('a run under way changes nothing', () => {
    expect(runOf(record({ labels: { 'quiesce.dev/verdict': 'pending' } }))).toBeUndefined();
  });

  test.each([
    ['no report', {}],
    ['no JSON', { 'report.json': '{' }],
    ['another document', { 'report.json': '{"kind":"Plan"}' }],
    [
      'an unknown verdict',
      { 'report.json': '{"kind":"SnapshotRun","group":"orders","verdict":"fine"}' },
    ],
  ])('a record with %s counts as failed, of the group in its label', (_, data) => {
    const broken = {
      ...record({ labels: { 'quiesce.dev/group': 'orders' }, created: '11:00' }),
      data,
    };
    const [state] = stateOf(record({}), broken);
    expect(state?.last).toMatchObject({ verdict: 'failed', group: 'orders' });
    expect(state?.last?.unreadable).toBeTypeOf('string');
    expect(state?.success?.endedAt).toBe(seconds('10:00'));
  });

  test('goes with its records', () => {
    const ledger = new RunLedger(new Groups());
    const runs = [record({}), record({ verdict: 'failed', created: '11:00' })].map(runOf);
    for (const run of runs) if (run) ledger.see(run);
    ledger.listing();
    if (runs[0]) ledger.see(runs[0]);
    ledger.listedAll();
    expect(ledger.groups()[0]?.last?.verdict).toBe('proven');
    ledger.gone(runs[0]?.uid ?? '');
    expect(ledger.groups()).toEqual([]);
  });
});

describe('the metrics', () => {
  test('have one series for each verdict, and only that of the last run is 1', async () => {
    const states = stateOf(
      record({ created: '10:00' }),
      record({ created: '11:00', verdict: 'unproven' }),
    );
    const text = await createExporterMetrics({ ...NOTHING, snapshots: () => states }).text();
    const of = (name: string): string[] =>
      text.split('\n').filter((line) => line.startsWith(`stateful_backup_group_${name}`));
    const own = 'namespace="shop",group="orders"';
    expect(of('verdict')).toEqual([
      `stateful_backup_group_verdict{${own},verdict="proven"} 0`,
      `stateful_backup_group_verdict{${own},verdict="unproven"} 1`,
      `stateful_backup_group_verdict{${own},verdict="failed"} 0`,
    ]);
    expect(of('last_success')).toEqual([
      `stateful_backup_group_last_success_timestamp_seconds{${own}} ${seconds('10:00') / 1_000}`,
    ]);
    expect(of('freeze_spread')).toEqual([
      `stateful_backup_group_freeze_spread_seconds{${own}} 0.25`,
    ]);
  });

  test('lose the series of a namespace, and keep those of others', async () => {
    const metrics = createExporterMetrics(NOTHING);
    for (const namespace of ['gone', 'shop']) {
      const labels = { namespace, group: namespace, driver: 'd' };
      metrics.snapshots.known(labels);
      metrics.snapshots.attempted(labels);
      metrics.snapshots.ready(labels, 3);
    }
    metrics.forget('gone');
    const text = await metrics.text();
    expect(text).not.toContain('gone');
    expect(text).toContain(
      'volume_snapshot_failed_total{namespace="shop",group="shop",driver="d"} 0',
    );
    expect(metrics.namespaces()).toEqual(['shop']);
  });
});
