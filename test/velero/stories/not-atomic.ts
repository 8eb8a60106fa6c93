import {
  type Access,
  type App,
  holdOf,
  inNamespace,
  mongodb,
  oneMember,
  onStorageClass,
  postgres,
  readLedger,
  redis,
} from '../apps/index.ts';
import { backupAndRestore } from './backup-restore.ts';
import { outcomeOf, PATIENT_MS, receiptOf } from '../stage/steps.ts';
import { inNamespaces, underLoad } from '../stage/under-load.ts';
import type { Stage } from '../stage/stage.ts';
import { until } from '../wait.ts';
import type { Story } from './story.ts';

const STORAGE = onStorageClass('live-copy');

export const notAtomic: readonly Story[] = [
  {
    name: 'live-copy-torn',
    group: 'not-atomic',
    title: 'PostgreSQL on a driver that copies pg_wal first, then the live data: refused',
    inCi: true,
    play: async (stage) => {
      const app = postgres(inNamespace('live'), STORAGE);
      // The data is newer than its WAL: such a copy is never whole.
      await tornCopy(stage, app, { snapshotClass: 'live-wal-first', mustBeRefused: true });
    },
  },
  {
    name: 'live-copy-postgres',
    group: 'not-atomic',
    title: 'PostgreSQL on a driver that copies the live files: refused, or nothing is missing',
    inCi: false,
    play: async (stage) => {
      const app = postgres(inNamespace('live-postgres'), STORAGE);
      await tornCopy(stage, app, { snapshotClass: 'live-slow', mustBeRefused: false });
    },
  },
  {
    name: 'live-copy-redis',
    group: 'not-atomic',
    title: 'Redis on a driver that copies the live files: none changes while it is held',
    inCi: false,
    play: async (stage) => {
      const app = redis(inNamespace('live-redis'), STORAGE);
      const backup = { snapshotClass: 'live-slow' };
      await backupAndRestore(stage, app, { name: 'live-redis', backup });
    },
  },
  {
    name: 'live-copy-mongodb',
    group: 'not-atomic',
    title: 'MongoDB on a driver that copies the live files: refused, or nothing is missing',
    inCi: false,
    play: async (stage) => {
      const app = mongodb(inNamespace('live-mongo'), oneMember, STORAGE);
      await tornCopy(stage, app, { snapshotClass: 'live-slow', mustBeRefused: false });
    },
  },
];

interface Driver {
  readonly snapshotClass: string;
  readonly mustBeRefused: boolean;
}

async function tornCopy(stage: Stage, app: App, driver: Driver): Promise<void> {
  const { namespace } = app;
  await inNamespaces(stage, [namespace], async () => {
    await stage.deploy(app);
    const name = `${driver.snapshotClass}-${app.engine}-${stage.tag}`;
    const path = await backUp(stage, app, name, driver);
    const receipts = await Promise.all(app.pods.map((pod) => receiptOf(stage, namespace, pod)));
    const copy = `restored-${namespace}`;
    await inNamespaces(stage, [copy], async () => {
      await stage.velero.restore(name, name, ['--namespace-mappings', `${namespace}:${copy}`]);
      const access = stage.access(copy);
      if (!(await allAccepted(stage, app, access, driver))) return;
      await app.afterRestore(access);
      const compared = await app.compare(access, await readLedger(path), holdOf(receipts));
      const what = `an accepted copy lacks none of ${compared.acknowledgedBeforeFreeze} acknowledged writes`;
      stage.expect(what, compared.ok, compared.problems);
    });
  });
}

/** @returns the path of the ledger of the writers */
async function backUp(
  stage: Stage,
  app: App,
  name: string,
  { snapshotClass }: Driver,
): Promise<string> {
  const act = async (): Promise<void> => {
    await stage.velero.startBackup(name, { namespaces: [app.namespace], snapshotClass });
    if (app.engine === 'postgres') await checkpointsWhileHeld(stage, app);
    const ended = await stage.velero.backupEnded(name);
    stage.equal('the backup completes: Velero cannot tell', ended.phase, 'Completed');
  };
  return (await underLoad(stage, app, `live-${app.namespace}`, act, PATIENT_MS)).ledger;
}

async function allAccepted(
  stage: Stage,
  app: App,
  access: Access,
  { mustBeRefused }: Driver,
): Promise<boolean> {
  const outcomes = await Promise.all(app.pods.map((pod) => outcomeOf(stage, access, pod)));
  const refused = outcomes.filter(({ accepted }) => !accepted);
  for (const { said } of refused) {
    stage.match('the copy is refused with a code', said, /\bRESTORE_[A-Z_]+\b/);
  }
  if (mustBeRefused) stage.expect('a torn copy is refused', refused.length > 0, outcomes);
  return refused.length === 0;
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
