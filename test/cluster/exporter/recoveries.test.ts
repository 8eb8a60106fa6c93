import { describe, expect, test } from 'vitest';
import { Groups } from '../../../src/cluster/exporter/labels.ts';
import { createExporterMetrics } from '../../../src/cluster/exporter/metrics.ts';
import {
  drillOf as readDrill,
  type RecoveryView,
  restoreOf as readRestore,
} from '../../../src/cluster/exporter/recoveries.ts';
import { RunLedger, runOf } from '../../../src/cluster/exporter/runs.ts';
import { reportsInto, reportSink } from '../../../src/cluster/exporter/sinks.ts';
import type { DrillRun, RecoveryRun } from '../../../src/cluster/restore/document.ts';
import { createLogger } from '../../../src/logger.ts';
import { drillOf, restoreOf } from '../restore/recovery-of-test.ts';

let made = 0;

interface Own {
  readonly created?: string;
  readonly labels?: Readonly<Record<string, string>>;
  readonly annotations?: Readonly<Record<string, string>>;
  readonly uid?: string;
}

const DAY = '2026-11-30T';

/** The ConfigMap of a run, made when the run began. */
function record(run: RecoveryRun, own: Own = {}): object {
  const { created = '18:03:00', labels = {}, annotations, uid = `run-${(made += 1)}` } = own;
  const report = run.kind === 'DrillRun' ? 'drill' : 'restore';
  return {
    metadata: {
      uid,
      name: 'r',
      namespace: 'shop',
      creationTimestamp: `${DAY}${created}Z`,
      labels: { 'quiesce.dev/report': report, 'quiesce.dev/group': 'shop', ...labels },
      ...(annotations && { annotations }),
    },
    data: { 'report.json': JSON.stringify(run) },
  };
}

const PENDING = { 'quiesce.dev/verdict': 'pending' };

/** What an exporter that has read these ConfigMaps exports. */
function exporting() {
  const groups = new Groups();
  const ledgers = {
    snapshot: new RunLedger(groups),
    restore: new RunLedger<RecoveryView>(groups),
    drill: new RunLedger<RecoveryView>(groups),
  };
  const sink = reportSink(
    new Map([
      ['snapshot', reportsInto(ledgers.snapshot, runOf)],
      ['restore', reportsInto(ledgers.restore, readRestore)],
      ['drill', reportsInto(ledgers.drill, readDrill)],
    ]),
    createLogger({ level: 'silent' }),
  );
  const metrics = createExporterMetrics({
    snapshots: () => ledgers.snapshot.groups(),
    restores: () => ledgers.restore.groups(),
    drills: () => ledgers.drill.groups(),
  });
  const series = async (name: string): Promise<Record<string, number>> => {
    const lines = (await metrics.text()).split('\n');
    const own = lines.filter((line) => line.startsWith(`stateful_backup_${name}{`));
    return Object.fromEntries(
      own.map((line) => [
        line.replace(/^[^{]*\{namespace="shop",group="([^"]*)",?(?:verdict="(\w+)")?\}.*/, '$1 $2'),
        Number(line.split(' ').at(-1)),
      ]),
    );
  };
  return { sink, series };
}

async function exported(name: string, ...objects: object[]): Promise<Record<string, number>> {
  const { sink, series } = exporting();
  for (const object of objects) sink.changed(object);
  return await series(name);
}

const at = (time: string): number => Date.parse(`${DAY}${time}Z`) / 1_000;

describe('the last restore', () => {
  test.each(['proven', 'unproven', 'failed'] as const)(
    'that is %s shows as such',
    async (verdict) => {
      const older = record(restoreOf({ verdict: 'proven' }), { created: '17:00:00' });
      const series = await exported('restore_verdict', record(restoreOf({ verdict })), older);
      const expected = { 'shop proven': 0, 'shop unproven': 0, 'shop failed': 0 };
      expect(series).toEqual({ ...expected, [`shop ${verdict}`]: 1 });
    },
  );

  test('is acknowledged by a word on its record, which leaves the verdict as it is', async () => {
    const run = restoreOf({ verdict: 'unproven' });
    const annotations = { 'quiesce.dev/acknowledged': 'anna: counted the orders' };
    const done = record(run, { annotations });
    expect(await exported('restore_acknowledged', done)).toEqual({ 'shop ': 1 });
    expect(await exported('restore_verdict', done)).toMatchObject({ 'shop unproven': 1 });
    expect(await exported('restore_acknowledged', record(run))).toEqual({ 'shop ': 0 });
    const empty = record(run, { annotations: { 'quiesce.dev/acknowledged': '' } });
    expect(await exported('restore_acknowledged', empty)).toEqual({ 'shop ': 0 });
    const next = record(run, { created: '19:00:00' });
    expect(await exported('restore_acknowledged', done, next)).toEqual({ 'shop ': 0 });
  });

  test('is the one before while the next is under way, of which the start is known', async () => {
    const before = record(restoreOf({ verdict: 'unproven' }));
    const open = record(restoreOf(), { created: '19:00:00', labels: PENDING, uid: 'open' });
    const later = record(restoreOf(), { created: '20:00:00', labels: PENDING });
    expect(await exported('restore_verdict', before, open)).toMatchObject({ 'shop unproven': 1 });
    const since = 'restore_unfinished_since_timestamp_seconds';
    expect(await exported(since, later, open)).toEqual({ 'shop ': at('19:00:00') });
    const ended = record(restoreOf(), { created: '19:00:00', uid: 'open' });
    expect(await exported(since, open, ended)).toEqual({});
  });

  test('that came back from a backup in the middle of its work is not under way', async () => {
    const labels = { ...PENDING, 'velero.io/restore-name': 'r' };
    const name = 'restore_unfinished_since_timestamp_seconds';
    expect(await exported(name, record(restoreOf(), { labels }))).toEqual({});
  });

  test.each([
    ['a drill', drillOf()],
    ['no verdict', { ...restoreOf(), verdict: 'fine' }],
    ['nothing', {}],
  ])('whose record holds %s counts as failed', async (_, run) => {
    const labels = { 'quiesce.dev/report': 'restore' };
    const series = await exported('restore_verdict', record(run as RecoveryRun, { labels }));
    expect(series).toMatchObject({ 'shop failed': 1, 'shop proven': 0 });
  });
});

describe('the last drill', () => {
  const measured = [
    'drill_rto_seconds',
    'drill_rpo_seconds',
    'drill_last_success_timestamp_seconds',
  ];

  test('that is proven shows its measures and when it ended', async () => {
    const run = drillOf();
    expect(await exported('drill_verified', record(run))).toEqual({ 'shop ': 1 });
    const values = await Promise.all(measured.map((name) => exported(name, record(run))));
    expect(values.map((one) => one['shop '])).toEqual([62, 57_770, at('18:04:02.5')]);
  });

  test.each(['unproven', 'failed'] as const)(
    'that is %s is not verified, and shows no measure of its own',
    async (verdict) => {
      const bad = record(drillOf({ verdict, rtoSeconds: 1, rpoSeconds: 2 }), {
        created: '19:00:00',
      });
      expect(await exported('drill_verified', bad)).toEqual({ 'shop ': 0 });
      for (const name of measured) expect(await exported(name, bad), name).toEqual({});
      // Those of the last proven one stay, with its time.
      const good = record(drillOf());
      expect(await exported('drill_rto_seconds', good, bad)).toEqual({ 'shop ': 62 });
      expect(await exported('drill_verified', good, bad)).toEqual({ 'shop ': 0 });
    },
  );

  test('without a receipt has no age of its data', async () => {
    const { rpoSeconds: _rpo, ...run } = drillOf();
    expect(await exported('drill_rpo_seconds', record(run as DrillRun))).toEqual({});
  });

  test.each([
    [true, 0],
    [false, 1],
    [undefined, 0],
  ])('with removed %s left behind %i', async (removed, left) => {
    const { removed: _removed, ...run } = drillOf();
    const object = record({ ...run, ...(removed !== undefined && { removed }) });
    expect(await exported('drill_left_behind', object)).toEqual({ 'shop ': left });
  });

  test('of a machine whose clock is ahead ended when its record says', async () => {
    const run = drillOf({
      startedAt: `${DAY}20:00:00.000Z`,
      endedAt: `${DAY}20:01:00.000Z`,
    });
    const name = 'drill_last_success_timestamp_seconds';
    expect(await exported(name, record(run))).toEqual({ 'shop ': at('18:04:00') });
    // Restored from a backup, it does not become new.
    const labels = { 'velero.io/restore-name': 'r' };
    const restored = record(drillOf(), { labels, created: '23:00:00' });
    expect(await exported(name, restored)).toEqual({ 'shop ': at('18:04:02.5') });
  });
});

test('a record counts for its own kind only, and goes from it when its label changes', async () => {
  const { sink, series } = exporting();
  sink.changed(record(drillOf({ verdict: 'failed' }), { uid: 'one' }));
  expect(await series('group_verdict')).toEqual({});
  expect(await series('restore_verdict')).toEqual({});
  expect(await series('drill_verified')).toEqual({ 'shop ': 0 });
  sink.changed(record(restoreOf(), { uid: 'one' }));
  expect(await series('drill_verified')).toEqual({});
  expect(await series('restore_verdict')).toMatchObject({ 'shop proven': 1 });
  sink.listing();
  sink.listedAll();
  expect(await series('restore_verdict')).toEqual({});
});
