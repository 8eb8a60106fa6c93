import { mkdir, readFile } from 'node:fs/promises';
import { stringify } from 'yaml';
import { manifestsOf } from '../../../support/helm.ts';
import { Prometheus } from '../../../support/prometheus.ts';
import { inNamespace, redis } from '../../apps/index.ts';
import { commandsIn, runCommand } from '../../cluster/chart.ts';
import { DRIVER, state } from '../../layout.ts';
import { withRelease } from '../../stage/release.ts';
import { valueOf } from '../../stage/scraped.ts';
import type { Stage } from '../../stage/stage.ts';
import { inNamespaces } from '../../stage/under-load.ts';
import { until } from '../../wait.ts';
import type { Story } from '../story.ts';
import { appsIn } from './pairs.ts';
import { judgeNothingHeld } from './whole.ts';

const PAGE = 'docs/schedules.md';
/** Both are in the page's values.yaml. */
const [SHOP, QUEUE] = ['shop', 'queue'];
const OTHER = 'schedule-velero';
const RELEASE = ['-n', 'quiesce-system'];
const EXPORTER = 'deployment/quiesce-exporter';
const REFUSED = 'refused-by-driver';

/** The page's values and commands as they stand: a CronJob's run, the exporter, the alert. */
export const schedule: Story = {
  name: 'group-schedule',
  group: 'group',
  title: 'docs/schedules.md as it stands: a scheduled run, its metrics, and the alert on snapshots',
  inCi: false,
  play: async (stage) => {
    await inNamespaces(stage, [SHOP, QUEUE, OTHER], async () => {
      const page = await readFile(PAGE, 'utf8');
      const values = /```yaml\n([\s\S]*?)```/.exec(page)?.[1] ?? '';
      const [command = ''] = commandsIn(page, /^# /);
      const apps = appsIn(SHOP);
      await stage.tools.kubectl(['create', 'namespace', QUEUE]);
      await Promise.all(apps.map((app) => stage.deploy(app)));
      await withRelease(stage, { command, values }, async () => {
        await stage.tools.kubectl([...RELEASE, 'rollout', 'status', EXPORTER, '--timeout=120s']);
        await judgeRun(stage, commandsIn(page, /^How a run ends/));
        await judgeNothingHeld(stage, apps);
        await judgeExporter(stage);
      });
    });
  },
};

/** The four commands of the page: list, run at once, log, records. */
async function judgeRun(stage: Stage, commands: readonly string[]): Promise<void> {
  const { tools } = stage;
  const [list = '', create = '', logs = '', records = ''] = commands;
  const listed = await runCommand(tools, list);
  stage.match('both schedules are listed', listed, /quiesce-snapshot-orders[\s\S]*snapshot-shop/);
  await runCommand(tools, create);
  const ended = await until('the job has ended', 240_000, async () => {
    const { status } = await tools.get<{
      status: { conditions?: readonly { type: string; status: string }[] };
    }>('job/now', ...RELEASE);
    return status.conditions?.find(
      ({ type, status: is }) => is === 'True' && /^(?:Complete|Failed)$/.test(type),
    );
  });
  stage.equal('the job is complete', ended.type, 'Complete');
  stage.match('its log says that the run is proven', await runCommand(tools, logs), /proven/);
  const found = await runCommand(tools, records);
  stage.match('the record is in the namespace', found, /^quiesce-shop-\S+ .*shop +proven$/m);
}

async function judgeExporter(stage: Stage): Promise<void> {
  const { tools } = stage;
  const pods = ['pods', ...RELEASE, '-l', 'app.kubernetes.io/component=exporter'];
  const { items } = await tools.get<{ items: readonly { metadata: { name: string } }[] }>(...pods);
  const forwarded = await stage
    .access('quiesce-system')
    .forward(items[0]?.metadata.name ?? '', 9095);
  const target = `127.0.0.1:${forwarded.port}`;
  const scrape = async (): Promise<string> => (await fetch(`http://${target}/metrics`)).text();
  try {
    await judgeRunMetrics(stage, scrape);
    await judgeVelero(stage, scrape);
    await judgeAlert(stage, scrape, await startPrometheus(stage, target));
  } finally {
    await forwarded.close();
  }
}

type Scrape = () => Promise<string>;

async function judgeRunMetrics(stage: Stage, scrape: Scrape): Promise<void> {
  const own = { namespace: SHOP ?? '', group: SHOP ?? '' };
  const text = await until('the run is exported', 60_000, async () => {
    const found = await scrape();
    return valueOf(found, 'stateful_backup_group_verdict', own) !== undefined && found;
  });
  const verdict = (word: string): number | undefined =>
    valueOf(text, 'stateful_backup_group_verdict', { ...own, verdict: word });
  const verdicts = [verdict('proven'), verdict('unproven'), verdict('failed')];
  stage.equal('the exporter says that the run is proven', verdicts, [1, 0, 0]);
  const at = valueOf(text, 'stateful_backup_group_last_success_timestamp_seconds', own) ?? 0;
  const age = Date.now() / 1_000 - at;
  stage.expect('and when that was', age >= 0 && age < 300, `${age} s ago`);
  const cuts = valueOf(text, 'volume_snapshot_attempts_total', { ...own, driver: DRIVER });
  stage.equal('it counted the snapshots of the run', cuts, 2);
}

/** Snapshots that Velero makes and deletes again are counted, too. */
async function judgeVelero(stage: Stage, scrape: Scrape): Promise<void> {
  await stage.deploy(redis(inNamespace(OTHER)));
  const backup = { namespaces: [OTHER] };
  const { phase, errors } = await stage.velero.backup(`schedule-${stage.tag}`, backup);
  stage.equal('a backup of another namespace completes', [phase, errors], ['Completed', 0]);
  const own = { namespace: OTHER, driver: DRIVER };
  const text = await scrape();
  const seen = ['attempts', 'failed'].map((what) =>
    valueOf(text, `volume_snapshot_${what}_total`, own),
  );
  stage.equal('Velero’s snapshot is counted, and as no failure', seen, [1, 0]);
  const ready = valueOf(text, 'volume_snapshot_ready_seconds_count', own);
  stage.equal('with the time until it was ready', ready, 1);
}

async function startPrometheus(stage: Stage, target: string): Promise<Prometheus> {
  const folder = state(`prometheus-${stage.tag}`);
  await mkdir(folder, { recursive: true });
  const flags = ['prometheusRule', 'serviceMonitor'].flatMap((one) => [
    '--set',
    `${one}.enabled=true`,
  ]);
  const release = state(`release-${stage.tag}`, 'values.yaml');
  const args = ['template', 'quiesce', 'charts/quiesce', ...RELEASE, '-f', release, ...flags];
  const manifests = manifestsOf(await stage.tools.helm(args));
  stage.expect('the chart has the alert', stringify(manifests).includes('QuiesceSnapshotFailed'));
  const prometheus = await Prometheus.start(folder, manifests, target);
  await until('Prometheus serves', 60_000, () => prometheus.isReady()).catch(async (error) => {
    await prometheus.stop();
    throw error;
  });
  return prometheus;
}

/** A snapshot that the driver refuses is counted, and the alert of the chart fires on it. */
async function judgeAlert(stage: Stage, scrape: Scrape, prometheus: Prometheus): Promise<void> {
  const alert = 'QuiesceSnapshotFailed';
  try {
    await until('Prometheus has scraped', 30_000, () =>
      prometheus.has('volume_snapshot_failed_total'),
    );
    stage.equal('the alert does not fire', await prometheus.firing(alert), []);
    await stage.tools.apply(refusedSnapshot());
    const own = { namespace: OTHER, driver: DRIVER };
    await until('the refusal is counted', 60_000, async () => {
      return valueOf(await scrape(), 'volume_snapshot_failed_total', own) === 1;
    });
    stage.expect('a snapshot that the driver refuses is counted as failed', true);
    const [fired] = await until('the alert fires', 60_000, async () => {
      const found = await prometheus.firing(alert);
      return found.length > 0 && found;
    });
    const { namespace, severity } = fired?.labels ?? {};
    stage.equal('the alert fires for its namespace', [namespace, severity], [OTHER, 'critical']);
  } finally {
    await prometheus.stop();
    const names = [`volumesnapshot/${REFUSED}`, '-n', OTHER, '--ignore-not-found'];
    await stage.tools.kubectl(['delete', ...names, '--timeout=60s']);
    await stage.tools.kubectl(['delete', `volumesnapshotclass/${REFUSED}`, '--ignore-not-found']);
  }
}

function refusedSnapshot(): string {
  const [claim = ''] = redis(inNamespace(OTHER)).claims;
  return `
apiVersion: snapshot.storage.k8s.io/v1
kind: VolumeSnapshotClass
metadata: { name: ${REFUSED} }
driver: ${DRIVER}
deletionPolicy: Delete
parameters: { fsFreeze: 'true' }
---
apiVersion: snapshot.storage.k8s.io/v1
kind: VolumeSnapshot
metadata: { name: ${REFUSED}, namespace: ${OTHER} }
spec:
  volumeSnapshotClassName: ${REFUSED}
  source: { persistentVolumeClaimName: ${claim} }
`;
}
