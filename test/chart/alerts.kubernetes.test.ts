import { execFile } from 'node:child_process';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { afterAll, beforeAll, describe, expect, test, vi } from 'vitest';
import { stringify } from 'yaml';
import { BUILD_TIMEOUT_MS, one, realHelm } from '../support/helm.ts';
import { APPLICATIONS } from './values.ts';

const run = promisify(execFile);

// Replaying a day of samples takes seconds, and a busy machine multiplies that.
vi.setConfig({ testTimeout: 240_000 });

interface Rule {
  readonly alert: string;
  readonly expr: string;
  readonly labels: Readonly<Record<string, string>>;
  readonly annotations: Readonly<Record<string, string>>;
}

interface Groups {
  readonly groups: readonly { readonly name: string; readonly rules: readonly Rule[] }[];
}

/** Samples in promtool's notation, one a minute unless said, from minute 0. */
type Series = Readonly<Record<string, string>>;

let dir: string;
let spec: Groups;
let perApp: Groups;

const MONITORS = ['podMonitor', 'serviceMonitor', 'prometheusRule'].flatMap((name) => [
  '--set',
  `${name}.enabled=true`,
]);
/** With the exporter and three schedules: nightly of shop, weekly of shop and queue, and a paused one. */
const ALL = [...MONITORS, ...APPLICATIONS];

beforeAll(async () => {
  dir = await mkdtemp(join(tmpdir(), 'q-alerts-'));
  const helm = await realHelm();
  const render = async (...args: string[]): Promise<Groups> =>
    one(await helm.template(...ALL, ...args), 'PrometheusRule')['spec'] as Groups;
  spec = await render();
  perApp = await render('--set', 'prometheusRule.protects=app');
}, BUILD_TIMEOUT_MS);

afterAll(async () => {
  await rm(dir, { recursive: true, force: true });
});

const rules = (groups: Groups): Rule[] => groups.groups.flatMap((group) => [...group.rules]);

/** The labels with which the alert fires at each time, and optionally the summary to expect. */
type Expected = readonly (readonly [
  at: string,
  labels: readonly Readonly<Record<string, string>>[],
  summary?: string,
])[];

/**
 * Replays the samples through the rules with promtool. Asserts at which times the alert fires, and with
 * which labels in addition to its severity.
 */
async function replay(
  alert: string,
  series: Series,
  expected: Expected,
  groups: Groups = spec,
  step = '1m',
): Promise<void> {
  const rule = rules(groups).find((found) => found.alert === alert);
  if (!rule) throw new Error(`there is no alert ${alert}`);
  const { severity = '' } = rule.labels;
  const folder = await mkdtemp(join(dir, `${alert}-`));
  const withSummary = expected.some(([, , summary]) => summary !== undefined);
  const asserted = ({ annotations: { summary }, ...rest }: Rule): object =>
    withSummary ? { ...rest, annotations: { summary } } : rest;
  // The others would be evaluated at each minute of the replay, too.
  const own = rules(groups).filter((found) => found.alert === alert);
  const trimmed = { groups: [{ name: alert, rules: own.map(asserted) }] };
  await writeFile(join(folder, 'rules.yaml'), stringify(trimmed));
  const tests = {
    rule_files: ['rules.yaml'],
    evaluation_interval: step,
    tests: [
      {
        interval: step,
        input_series: Object.entries(series).map(([name, values]) => ({ series: name, values })),
        alert_rule_test: expected.map(([at, labels, summary]) => ({
          eval_time: at,
          alertname: alert,
          exp_alerts: labels.map((own) => ({
            exp_labels: { severity, ...own },
            ...(summary === undefined ? {} : { exp_annotations: { summary } }),
          })),
        })),
      },
    ],
  };
  const file = join(folder, 'tests.yaml');
  await writeFile(file, stringify(tests));
  const { stdout } = await run('promtool', ['test', 'rules', file]).catch(
    (failed: { stdout: string; stderr: string }) => {
      throw new Error(`${failed.stdout}\n${failed.stderr}`);
    },
  );
  expect(stdout).toContain('SUCCESS');
}

const POD = { namespace: 'shop', pod: 'db-0', app: 'shop', engine: 'postgres' };
const labels = (own: Readonly<Record<string, string>>): string =>
  Object.entries(own)
    .map(([name, value]) => `${name}="${value}"`)
    .join(',');
const of = (metric: string, more: Readonly<Record<string, string>> = {}): string =>
  `${metric}{${labels({ ...POD, ...more })}}`;

test('Prometheus accepts the rules', async () => {
  for (const groups of [spec, perApp]) {
    const file = join(dir, 'check.yaml');
    await writeFile(file, stringify(groups));
    const { stdout } = await run('promtool', ['check', 'rules', file]);
    expect(stdout).toContain('SUCCESS');
    expect(stdout).toContain(`${rules(groups).length} rules found`);
  }
});

describe('QuiesceBackupInconsistent', () => {
  const name = 'QuiesceBackupInconsistent';
  test('fires on the first scrape of a failed verdict and clears with the next proven one', () =>
    replay(name, { [of('stateful_backup_consistency_check')]: '1x4 0x4 1x4' }, [
      ['4m', []],
      ['5m', [POD]],
      ['9m', [POD]],
      ['10m', []],
    ]));
  test('does not fire before the first freeze', () =>
    replay(name, { [of('stateful_backup_frozen')]: '0x60' }, [['30m', []]]));
  test('keeps firing after a restart of the sidecar, until its next freeze is proven', () =>
    replay(name, { [of('stateful_backup_consistency_check')]: '0x4 _x120 1x4' }, [
      ['4m', [POD]],
      ['60m', [POD]],
      ['124m', [POD]],
      ['125m', []],
    ]));
  test('a good verdict stays good after a restart of the sidecar', () =>
    replay(name, { [of('stateful_backup_consistency_check')]: '1x4 _x120' }, [['60m', []]]));
});

describe('QuiesceHookTooLong', () => {
  const metric = of('stateful_backup_hook_duration_seconds', { hook: 'freeze' });
  test('fires on the last run of either hook and clears with a short one', () =>
    replay('QuiesceHookTooLong', { [metric]: '2x4 301x4 300x4' }, [
      ['4m', []],
      ['5m', [{ ...POD, hook: 'freeze' }]],
      ['10m', []],
    ]));
});

describe('QuiesceSnapshotFailed', () => {
  const metric = 'volume_snapshot_failed_total{namespace="shop",group="orders",pod="controller-0"}';
  const labelled = [{ namespace: 'shop', group: 'orders' }];
  test('fires on a failure and clears an hour later, not at the next restart', () =>
    replay('QuiesceSnapshotFailed', { [metric]: '3x90 4x120' }, [
      ['89m', []],
      ['93m', labelled],
      ['140m', labelled],
      ['160m', []],
    ]));
  test('fires on a counter whose first sample is already a failure', () =>
    replay('QuiesceSnapshotFailed', { [metric]: '_x30 1x200' }, [
      ['29m', []],
      ['31m', labelled],
      ['89m', labelled],
      ['95m', []],
    ]));
  test('does not fire on a counter that does not change', () =>
    replay('QuiesceSnapshotFailed', { [metric]: '7x300' }, [['200m', []]]));
});

describe('QuiesceSnapshotFailed with the labels of the exporter', () => {
  const of = (metric: string, pod: string): string =>
    `${metric}{namespace="shop",group="shop",driver="csi.example",pod="${pod}",job="quiesce-exporter"}`;
  const failed = [{ namespace: 'shop', group: 'shop' }];
  test('fires on a snapshot of Velero that failed, and clears an hour later', () =>
    replay(
      'QuiesceSnapshotFailed',
      {
        [of('volume_snapshot_attempts_total', 'a')]: '_x10 2x300',
        [of('volume_snapshot_failed_total', 'a')]: '_x10 0x20 1x300',
      },
      [
        ['29m', []],
        ['33m', failed],
        ['100m', []],
      ],
    ));
  test('a restart of the exporter neither repeats a failure nor hides the next one', () =>
    replay(
      'QuiesceSnapshotFailed',
      {
        [of('volume_snapshot_failed_total', 'a')]: '1x200 stale',
        [of('volume_snapshot_failed_total', 'b')]: '_x202 0x100 1x200',
      },
      [
        ['250m', []],
        ['310m', failed],
      ],
    ));
});

describe('QuiesceRunNotProven', () => {
  const own = { namespace: 'shop', group: 'orders' };
  const verdict = (of: string): string =>
    `stateful_backup_group_verdict{${labels({ ...own, verdict: of })}}`;
  test('fires on the verdict of the last run, names it, and clears with a proven one', () =>
    replay(
      'QuiesceRunNotProven',
      {
        [verdict('proven')]: '1x9 0x19 1x30',
        [verdict('unproven')]: '0x9 1x9 0x40',
        [verdict('failed')]: '0x19 1x9 0x30',
      },
      [
        ['5m', []],
        ['15m', [{ ...own, verdict: 'unproven' }]],
        ['25m', [{ ...own, verdict: 'failed' }]],
        ['35m', []],
      ],
    ));
  test('says what is meant', () =>
    replay('QuiesceRunNotProven', { [verdict('failed')]: '1x5' }, [
      ['1m', [{ ...own, verdict: 'failed' }], 'The last snapshot of orders in shop is failed'],
    ]));
});

describe('QuiesceProvenRunTooOld', () => {
  const name = 'QuiesceProvenRunTooOld';
  const HOUR = 60;
  const own = { namespace: 'shop', group: 'shop' };
  const weekly = { namespace: 'queue', group: 'orders' };
  const success = (of: Readonly<Record<string, string>>): string =>
    `stateful_backup_group_last_success_timestamp_seconds{${labels(of)}}`;
  const verdict = (of: Readonly<Record<string, string>>): string =>
    `stateful_backup_group_verdict{${labels({ ...of, verdict: 'proven' })}}`;
  test('fires 26 hours after the last proven run and clears with the next', () =>
    replay(
      name,
      {
        [success(own)]: `0x${30 * HOUR} ${30 * 3_600}x${5 * HOUR}`,
        [verdict(own)]: `1x${35 * HOUR}`,
      },
      [
        ['25h55m', []],
        ['26h10m', [own]],
        ['30h5m', []],
      ],
    ));
  test('fires for a group of which no run was ever proven, and clears when it is gone', () =>
    replay(name, { [verdict(own)]: `0x${29 * HOUR} stale` }, [
      ['25h', []],
      ['26h10m', [own]],
      ['30h', []],
    ]));
  test('a schedule has an age of its own for its groups', async () => {
    const series = { [success(weekly)]: `0x${33 * HOUR}`, [verdict(weekly)]: `1x${33 * HOUR}` };
    await replay(name, series, [
      ['29h', []],
      ['31h', [{ ...weekly, schedule: 'weekly' }]],
    ]);
  });
});

describe('QuiesceNoRun', () => {
  const HOUR = 60;
  const nightly = { namespace: 'shop', schedule: 'nightly', group: 'shop' };
  const weekly = { namespace: 'shop', schedule: 'weekly', group: 'orders' };
  const verdict = (of: Readonly<Record<string, string>>): string =>
    `stateful_backup_group_verdict{${labels({ ...of, verdict: 'failed' })}}`;
  test('fires for each schedule without any run, after its own time, and not for a paused one', () =>
    replay('QuiesceNoRun', { 'up{job="other"}': `1x${33 * HOUR}` }, [
      ['25h', []],
      ['27h', [nightly]],
      ['29h', [nightly]],
      ['31h', [nightly, weekly]],
    ]));
  test('does not fire with a run, be it a failed one: other alerts speak of that', () =>
    replay(
      'QuiesceNoRun',
      {
        [verdict({ namespace: 'shop', group: 'shop' })]: `1x${33 * HOUR}`,
        [verdict({ namespace: 'queue', group: 'orders' })]: `1x${33 * HOUR}`,
      },
      [['32h', []]],
    ));
});

describe('restores and drills', () => {
  const HOUR = 60;
  /** Nine days, a sample in four minutes: a day of minutes takes promtool seconds. */
  const days = `x${(9 * 24 * HOUR) / 4}`;
  const own = { namespace: 'shop', group: 'shop' };
  const series = (name: string, of: Readonly<Record<string, string>> = own): string =>
    `stateful_backup_${name}{${labels({ ...of, pod: 'quiesce-exporter-a' })}}`;
  const verdict = (of: string): string => series('restore_verdict', { ...own, verdict: of });

  test('QuiesceRestoreNotProven fires on the verdict, and clears with a proven restore', () =>
    replay(
      'QuiesceRestoreNotProven',
      {
        [verdict('proven')]: '1x9 0x19 1x30',
        [verdict('unproven')]: '0x9 1x9 0x40',
        [verdict('failed')]: '0x19 1x9 0x30',
        [series('restore_acknowledged')]: '0x60',
      },
      [
        ['5m', []],
        ['15m', [{ ...own, verdict: 'unproven' }], 'The last restore of shop in shop is unproven'],
        ['25m', [{ ...own, verdict: 'failed' }], 'The last restore of shop in shop is failed'],
        ['35m', []],
      ],
    ));
  test('QuiesceRestoreNotProven clears when a person says so, for that group only', async () => {
    const other = { namespace: 'shop', group: 'other' };
    await replay(
      'QuiesceRestoreNotProven',
      {
        [verdict('unproven')]: '1x60',
        [series('restore_acknowledged')]: '0x20 1x40',
        [series('restore_verdict', { ...other, verdict: 'unproven' })]: '1x60',
        [series('restore_acknowledged', other)]: '0x60',
      },
      [
        ['10m', [own, other].map((of) => ({ ...of, verdict: 'unproven' }))],
        ['30m', [{ ...other, verdict: 'unproven' }]],
      ],
    );
  });
  test.each(['restore', 'drill'])('QuiesceRecoveryUnfinished fires on a %s of six hours', (run) =>
    replay(
      'QuiesceRecoveryUnfinished',
      { [series(`${run}_unfinished_since_timestamp_seconds`)]: `0x${7 * HOUR} stale` },
      [
        ['5h59m', []],
        ['6h1m', [{ ...own, run }], `A ${run} of shop in shop has not ended for 6h 1m 0s`],
        ['7h3m', []],
      ],
    ),
  );
  test('QuiesceDrillNotVerified fires on the last drill and clears with a proven one', () =>
    replay('QuiesceDrillNotVerified', { [series('drill_verified')]: '1x5 0x5 1x5' }, [
      ['5m', []],
      ['7m', [own]],
      ['13m', []],
    ]));
  test('QuiesceDrillLeftBehind fires for what stays, not for what is still being removed', () =>
    replay('QuiesceDrillLeftBehind', { [series('drill_left_behind')]: '1x10 0x5 1x40 0x5' }, [
      ['12m', []],
      ['25m', []],
      ['35m', [own]],
      ['60m', []],
    ]));
  test('QuiesceDrillTooOld fires after eight days, or as long as the drill is given', async () => {
    const success = (of: Readonly<Record<string, string>>): string =>
      series('drill_last_success_timestamp_seconds', of);
    const orders = { namespace: 'queue', group: 'orders' };
    await replay(
      'QuiesceDrillTooOld',
      {
        [success(own)]: `0${days}`,
        [series('drill_verified')]: `1${days}`,
        [success(orders)]: `0${days}`,
        [series('drill_verified', orders)]: `1${days}`,
      },
      [
        ['191h', []],
        ['193h', [own]],
        ['201h', [own, { ...orders, drill: 'whole' }]],
      ],
      spec,
      '4m',
    );
  });
  test('QuiesceDrillTooOld fires for a group of which no drill was ever proven', () =>
    replay(
      'QuiesceDrillTooOld',
      { [series('drill_verified')]: `0${days}` },
      [
        ['191h', []],
        ['193h', [own]],
      ],
      spec,
      '4m',
    ));
  test('QuiesceNoDrill fires for each drill without any record, and not for a paused one', () =>
    replay(
      'QuiesceNoDrill',
      { 'up{job="other"}': `1${days}` },
      [
        ['191h', []],
        ['193h', [{ ...own, drill: 'nightly' }]],
        [
          '201h',
          [
            { ...own, drill: 'nightly' },
            { ...own, group: 'orders', drill: 'whole' },
          ],
        ],
      ],
      spec,
      '4m',
    ));
  test('QuiesceNoDrill does not fire with a drill, be it a failed one', () =>
    replay(
      'QuiesceNoDrill',
      {
        [series('drill_verified')]: `0${days}`,
        [series('drill_verified', { namespace: 'shop', group: 'orders' })]: `0${days}`,
      },
      [['210h', []]],
      spec,
      '4m',
    ));
});

describe('the exporter', () => {
  const target = {
    namespace: 'quiesce-system',
    job: 'quiesce-exporter',
    pod: 'quiesce-exporter-a',
  };
  const here = { namespace: target.namespace };
  const of = (metric: string, resource: string): string =>
    `${metric}{${labels({ ...target, resource })}}`;
  test('QuiesceExporterDown fires when it does not answer or is not scraped, and clears', async () => {
    const up = `up{${labels(target)}}`;
    await replay('QuiesceExporterDown', { [up]: '1x5 0x20 1x10' }, [
      ['10m', []],
      ['20m', [here]],
      ['30m', []],
    ]);
    await replay('QuiesceExporterDown', { 'up{job="other"}': '1x20' }, [['15m', [here]]]);
    await replay('QuiesceExporterDown', { [up]: '1x5 _x4 1x20' }, [['20m', []]]);
  });
  test('QuiesceExporterStale fires for what was not read for a quarter of an hour, and clears', () =>
    replay(
      'QuiesceExporterStale',
      {
        [of('quiesce_exporter_last_read_timestamp_seconds', 'configmaps')]: '0x30 1860+60x30',
        [of('quiesce_exporter_last_read_timestamp_seconds', 'volumesnapshots')]: '0+60x60',
      },
      [
        ['15m', []],
        ['22m', [{ ...target, resource: 'configmaps' }]],
        ['40m', []],
      ],
    ));
  test('QuiesceExporterStale fires for what was never read', () =>
    replay(
      'QuiesceExporterStale',
      { [of('quiesce_exporter_read_errors_total', 'configmaps')]: '0+1x30' },
      [
        ['4m', []],
        ['6m', [{ ...target, resource: 'configmaps' }]],
      ],
    ));
});

describe('QuiesceFrozenTooLong', () => {
  const name = 'QuiesceFrozenTooLong';
  const frozen = of('stateful_backup_frozen');
  const since = of('stateful_backup_frozen_since_timestamp_seconds');
  test('fires beyond the longest lease and clears with the thaw', () =>
    replay(name, { [frozen]: '1x15 0x10', [since]: '0x15 stale' }, [
      ['10m', []],
      ['13m', [POD]],
      ['15m', [POD]],
      ['16m', []],
    ]));
  test('does not fire for a freeze as long as its lease', () =>
    replay(name, { [frozen]: '1x10 0x10', [since]: '0x10 stale' }, [
      ['10m', []],
      ['12m', []],
    ]));
  test('fires when the sidecar is gone and may have left the hold in place', () =>
    replay(name, { [frozen]: '1x4 stale', [since]: '0x4 stale' }, [
      ['8m', []],
      ['13m', [POD]],
      ['40m', [POD]],
    ]));
  test('clears when a new sidecar has released the hold of the old one', () =>
    replay(name, { [frozen]: '1x4 _x10 0x20', [since]: '0x4 stale' }, [
      ['14m', [POD]],
      ['15m', []],
      ['30m', []],
    ]));
  test('does not fire for a sidecar that ended while thawed', () =>
    replay(name, { [frozen]: '1x4 0x2 stale', [since]: '0x4 stale' }, [['30m', []]]));
});

describe('QuiesceAutoThaw', () => {
  const metric = of('stateful_backup_auto_thaw_total');
  test('fires when a lease expired and clears an hour later', () =>
    replay('QuiesceAutoThaw', { [metric]: '0x90 1x120' }, [
      ['90m', []],
      ['93m', [POD]],
      ['140m', [POD]],
      ['160m', []],
    ]));
  test('fires for a lease that expired before the first scrape', () =>
    replay('QuiesceAutoThaw', { [metric]: '_x30 1x120' }, [
      ['31m', [POD]],
      ['95m', []],
    ]));
});

describe('QuiesceRestoreNotVerified', () => {
  const alert = 'QuiesceRestoreNotVerified';
  const position = of('stateful_backup_restore_verified', { level: 'position' });
  const content = of('stateful_backup_restore_verified', { level: 'content' });
  const fired = { ...POD, level: 'position' };
  test('fires on a restored database that is refused or unproven, and clears when it is proven', () =>
    replay(alert, { [position]: '_x3 0x5 1x5' }, [
      ['2m', []],
      ['6m', [fired]],
      ['10m', []],
    ]));
  test('clears when the report is ended by a person or a consistent freeze', () =>
    replay(alert, { [position]: '0x5 stale' }, [
      ['4m', [fired]],
      ['6m', []],
    ]));
  test('does not fire while a server starts, nor for the deep check', () =>
    replay(alert, { [position]: '0 1x30', [content]: '0x30' }, [
      ['1m', []],
      ['25m', []],
    ]));
});

describe('QuiesceRestoreContentNotVerified', () => {
  const alert = 'QuiesceRestoreContentNotVerified';
  const position = of('stateful_backup_restore_verified', { level: 'position' });
  const content = of('stateful_backup_restore_verified', { level: 'content' });
  const fired = { ...POD, level: 'content' };
  test('fires when the deep check has not passed in its time, and clears when it has', () =>
    replay(alert, { [position]: '1x40', [content]: '0x25 1x10' }, [
      ['10m', []],
      ['20m', [fired]],
      ['30m', []],
    ]));
  test('leaves an unproven database to the other alert, and never fires where it was not asked for', async () => {
    await replay(alert, { [position]: '0x40', [content]: '0x40' }, [['30m', []]]);
    await replay(alert, { [position]: '1x40' }, [['30m', []]]);
  });
});

describe('QuiesceNoSuccessfulBackup', () => {
  const name = 'QuiesceNoSuccessfulBackup';
  const build = of('stateful_backup_build_info', { version: '0.1.0' });
  const success = of('stateful_backup_last_success_timestamp_seconds');
  const HOUR = 60;
  test('fires 26 hours after the last success and clears with the next', () =>
    replay(
      name,
      { [build]: `1x${40 * HOUR}`, [success]: `0x${30 * HOUR} ${30 * 3600}x${5 * HOUR}` },
      [
        ['25h55m', []],
        ['26h10m', [POD]],
        ['30h', [POD]],
        ['30h5m', []],
      ],
    ));
  test('fires for a pod without a success 26 hours after it appeared', () =>
    replay(name, { [build]: `1x${30 * HOUR}` }, [
      ['25h', []],
      ['26h10m', [POD]],
    ]));
  test('counts a success from before a restart of the sidecar', () =>
    replay(name, { [build]: `1x${60 * HOUR}`, [success]: `_x${10 * HOUR} 36000x60 stale` }, [
      ['30h', []],
      ['35h50m', []],
      ['36h10m', [POD]],
    ]));
  test('clears when the pod is gone', () =>
    replay(name, { [build]: `1x${27 * HOUR} stale` }, [
      ['26h30m', [POD]],
      ['28h', []],
    ]));
  test('expects a success of every pod, or of one pod per app if the values say so', async () => {
    const second = { ...POD, pod: 'db-1' };
    const series = {
      [build]: `1x${30 * HOUR}`,
      [`stateful_backup_build_info{${labels({ ...second, version: '0.1.0' })}}`]: `1x${30 * HOUR}`,
      [success]: `${20 * 3600}x${30 * HOUR}`,
    };
    await replay(name, series, [['27h', [second]]]);
    await replay(name, series, [['27h', []]], perApp);
  });
});

describe('QuiesceSidecarDown', () => {
  const { app: _, engine: __, ...pod } = POD;
  const target = { ...pod, job: 'quiesce-system/quiesce-sidecars' };
  const scraped = `up{${labels(target)}}`;
  test('fires for a sidecar that does not answer and clears when it does', () =>
    replay('QuiesceSidecarDown', { [scraped]: '1x5 0x30 1x10' }, [
      ['15m', []],
      ['25m', [target]],
      ['38m', []],
    ]));
  test('does not fire for a restart or for a pod that is gone', () =>
    replay('QuiesceSidecarDown', { [scraped]: '1x5 0x3 1x5 0x3 stale' }, [
      ['9m', []],
      ['40m', []],
    ]));
});

describe('the webhook', () => {
  const target = { namespace: 'quiesce-system', job: 'quiesce-webhook' };
  const here = { namespace: target.namespace };
  const first = labels({ ...target, pod: 'quiesce-webhook-a' });
  const second = labels({ ...target, pod: 'quiesce-webhook-b' });
  test('QuiesceWebhookDown fires when no replica answers and clears with one', () =>
    replay('QuiesceWebhookDown', { [`up{${first}}`]: '1x5 0x10 1x10', [`up{${second}}`]: '0x40' }, [
      ['5m', []],
      ['12m', [here]],
      ['18m', []],
    ]));
  test('QuiesceWebhookDown fires when nothing is scraped at all', () =>
    replay('QuiesceWebhookDown', { 'up{job="other"}': '1x20' }, [['10m', [here]]]));
  test('QuiesceRestoreAbandoned fires while the run of a restore gives no sign of life', () => {
    const run = 'restored_namespace="shop",run="shop-1"';
    return replay(
      'QuiesceRestoreAbandoned',
      {
        [`quiesce_webhook_restore_abandoned{${first},${run}}`]: '0x5 1x10 0x5 _x5',
        [`quiesce_webhook_restore_abandoned{${second},${run}}`]: '0x5 1x10 0x5 _x5',
      },
      [
        ['4m', []],
        ['10m', [{ namespace: 'shop', run: 'shop-1' }]],
        ['18m', []],
      ],
    );
  });
  test('QuiescePodNotInjected fires on the first pod that was not injected and clears after an hour', () =>
    replay(
      'QuiescePodNotInjected',
      {
        [`quiesce_webhook_requests_total{${first},result="invalid"}`]: '_x10 1x200',
        [`quiesce_webhook_requests_total{${first},result="injected"}`]: '0+1x200',
      },
      [
        ['9m', []],
        ['12m', [{ ...target, result: 'invalid' }]],
        ['90m', []],
      ],
    ));
  test('QuiesceCertificateExpiring fires a week before the expiry and clears with a new certificate', () => {
    const metric = `quiesce_webhook_certificate_expiry_timestamp_seconds{${first}}`;
    const end = 7 * 86_400 + 1_800;
    return replay('QuiesceCertificateExpiring', { [metric]: `${end}x60 ${end * 10}x20` }, [
      ['29m', []],
      ['45m', [{ ...target, pod: 'quiesce-webhook-a' }]],
      ['62m', []],
    ]);
  });
});

test('without the exporter there is no alert that needs it', async () => {
  const helm = await realHelm();
  const { groups } = one(await helm.template(...MONITORS), 'PrometheusRule')['spec'] as Groups;
  expect(groups.map(({ name }) => name)).toEqual(['quiesce.backup', 'quiesce.webhook']);
});

test('a summary names the pod, or the app if it protects apps, and a readable duration', async () => {
  const hook = of('stateful_backup_hook_duration_seconds', { hook: 'thaw' });
  await replay('QuiesceHookTooLong', { [hook]: '400x5' }, [
    ['1m', [{ ...POD, hook: 'thaw' }], 'The last thaw of shop/db-0 took 6m 40s'],
  ]);
  const build = of('stateful_backup_build_info', { version: '0.1.0' });
  const { pod: _, ...app } = POD;
  const sentence = 'shop/shop has had no successful backup for 26 hours';
  await replay(
    'QuiesceNoSuccessfulBackup',
    { [build]: '1x1700' },
    [['27h', [app], sentence]],
    perApp,
  );
  const certificate = 'quiesce_webhook_certificate_expiry_timestamp_seconds';
  const target = { namespace: 'quiesce-system', job: 'quiesce-webhook', pod: 'quiesce-webhook-a' };
  await replay(
    'QuiesceCertificateExpiring',
    { [`${certificate}{${labels(target)}}`]: '87600x60' },
    [['20m', [target], 'The certificate of the quiesce webhook expires in 1d 0h 0m 0s']],
  );
});

test('every alert can be switched off and has a severity, and a threshold can be set', async () => {
  const helm = await realHelm();
  const names = [
    'inconsistent',
    'hookTooLong',
    'snapshotFailed',
    'runNotProven',
    'provenRunTooOld',
    'noRun',
    'restoreNotProven',
    'recoveryUnfinished',
    'drillNotVerified',
    'drillLeftBehind',
    'drillTooOld',
    'noDrill',
    'exporterDown',
    'exporterStale',
    'frozenTooLong',
    'autoThaw',
    'restoreNotVerified',
    'restoreContentNotVerified',
    'noSuccess',
    'sidecarDown',
    'webhookDown',
    'restoreAbandoned',
    'podNotInjected',
    'certificateExpiring',
  ];
  const kinds = (found: Groups): number => new Set(rules(found).map(({ alert }) => alert)).size;
  expect(kinds(spec)).toBe(names.length);
  for (const name of names) {
    const off = await helm.template(...ALL, '--set', `prometheusRule.alerts.${name}.enabled=false`);
    expect(kinds(one(off, 'PrometheusRule')['spec'] as Groups), name).toBe(names.length - 1);
  }
  for (const rule of rules(spec)) expect(rule.labels['severity']).toMatch(/^(critical|warning)$/);
  const sharper = one(
    await helm.template(...ALL, '--set', 'prometheusRule.alerts.hookTooLong.seconds=25'),
    'PrometheusRule',
  );
  expect(JSON.stringify(sharper)).toContain('stateful_backup_hook_duration_seconds > 25"');
});
