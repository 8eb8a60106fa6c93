import { type App, holdOf, inNamespace, mongodb, onStorageClass } from '../apps/index.ts';
import { postgres, readLedger, redis } from '../apps/index.ts';
import { backupAndRestore } from './backup-restore.ts';
import { outcomeOf, receiptOf, underLoad, withNamespaces } from '../stage/steps.ts';
import type { Stage } from '../stage/stage.ts';
import { until } from '../wait.ts';
import type { Story } from './story.ts';

const STORAGE = onStorageClass('live-copy');

export const notAtomic: readonly Story[] = [
  {
    name: 'live-copy-postgres',
    group: 'not-atomic',
    title: 'PostgreSQL on a driver that copies the live files: nothing torn is called restored',
    inCi: true,
    play: async (stage) => {
      const app = postgres(inNamespace('live'), STORAGE);
      await tornCopies(stage, app, [
        // WAL, then a data folder that is newer: this copy can never be whole.
        { snapshotClass: 'live-wal-first', mustBeRefused: true },
        { snapshotClass: 'live-slow', mustBeRefused: false },
      ]);
    },
  },
  {
    name: 'live-copy-redis',
    group: 'not-atomic',
    title: 'Redis on a driver that copies the live files: none changes while it is held',
    inCi: false,
    play: async (stage) => {
      const app = redis(inNamespace('live-redis'), STORAGE);
      await withNamespaces(stage, [app.namespace], async () => {
        const backup = { snapshotClass: 'live-slow' };
        await backupAndRestore(stage, app, { name: 'live-redis', backup });
      });
    },
  },
  {
    name: 'live-copy-mongodb',
    group: 'not-atomic',
    title: 'MongoDB on a driver that copies the live files: refused, or nothing is missing',
    inCi: false,
    play: async (stage) => {
      const app = mongodb(inNamespace('live-mongo'), STORAGE);
      await tornCopies(stage, app, [{ snapshotClass: 'live-slow', mustBeRefused: false }]);
    },
  },
];

interface Driver {
  readonly snapshotClass: string;
  readonly mustBeRefused: boolean;
}

async function tornCopies(stage: Stage, app: App, drivers: readonly Driver[]): Promise<void> {
  await withNamespaces(stage, [app.namespace], async () => {
    await stage.deploy(app);
    for (const driver of drivers) await tornCopy(stage, app, driver);
  });
}

/** Backup by a driver that copies file by file, under load, and what its restore says of it. */
async function tornCopy(stage: Stage, app: App, driver: Driver): Promise<void> {
  const { snapshotClass } = driver;
  const { namespace } = app;
  const name = `${snapshotClass}-${app.engine}-${stage.tag}`;
  const path = await underLoad(stage, app, `live-${app.engine}`, async () => {
    await stage.velero.startBackup(name, { namespaces: [namespace], snapshotClass });
    if (app.engine === 'postgres') await checkpointsWhileHeld(stage, app);
    const ended = await stage.velero.backupEnded(name);
    stage.expect(`${snapshotClass}: the backup ends`, ended.phase === 'Completed', ended);
  });
  const receipts = await Promise.all(app.pods.map((pod) => receiptOf(stage, namespace, pod)));
  const copy = `restored-${snapshotClass}`;
  const flags = ['--namespace-mappings', `${namespace}:${copy}`];
  await withNamespaces(stage, [copy], async () => {
    await stage.velero.restore(name, name, flags);
    const access = stage.access(copy);
    const outcomes = await Promise.all(app.pods.map((pod) => outcomeOf(stage, access, pod)));
    const refused = outcomes.filter(({ accepted }) => !accepted);
    for (const { said } of refused) {
      stage.match(`${snapshotClass}: the copy is refused with a code`, said, /\bRESTORE_[A-Z_]+\b/);
    }
    if (driver.mustBeRefused) {
      stage.expect(`${snapshotClass}: a torn copy is refused`, refused.length > 0, outcomes);
    }
    if (refused.length > 0) return;
    await app.afterRestore(access);
    const compared = await app.compare(access, await readLedger(path), holdOf(receipts));
    const what = `${snapshotClass}: an accepted copy lacks none of ${compared.acknowledgedBeforeFreeze} acknowledged writes`;
    stage.expect(what, compared.ok, compared.problems);
  });
}

/** What tears a copy apart: the server writes pages of all ages while the driver reads its files. */
async function checkpointsWhileHeld(stage: Stage, { namespace, pods }: App): Promise<void> {
  const [pod = ''] = pods;
  await stage.sidecar(namespace, pod).frozen();
  const psql = ['psql', '-U', 'postgres', '-qc', 'CHECKPOINT'];
  await until('six checkpoints', 120_000, async () => {
    for (let count = 0; count < 6; count += 1) {
      await stage.tools.kubectl(['-n', namespace, 'exec', pod, '-c', 'postgres', '--', ...psql]);
    }
    return true;
  });
}
