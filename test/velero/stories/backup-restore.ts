import { type App, holdOf, readLedger } from '../apps/index.ts';
import type { Stage } from '../stage/stage.ts';
import type { BackupOptions, Ended } from '../stage/velero.ts';

const BEFORE = 400;
const AFTER = 100;

export interface PathOptions {
  readonly name: string;
  readonly backup?: Omit<BackupOptions, 'namespaces'>;
  /** Pods that Velero freezes; all of the application's by default. */
  readonly frozen?: readonly string[];
  /** Between the restored pods' readiness and the comparison. */
  readonly afterRestore?: (namespace: string) => Promise<void>;
  readonly mode?: string;
}

/** Backup under load, namespace deleted, restore, comparison with all that was acknowledged. */
export async function backupAndRestore(
  stage: Stage,
  app: App,
  options: PathOptions,
): Promise<void> {
  const { namespace } = app;
  const name = `${options.name}-${stage.tag}`;
  const frozen = options.frozen ?? app.pods;
  await stage.deploy(app);
  const path = await stage.ledger(options.name);
  const load = await app.startLoad(stage.access(namespace), path);
  let ended: Ended;
  try {
    await load.progress(BEFORE);
    ended = await stage.velero.backup(name, { namespaces: [namespace], ...options.backup });
    await load.progress(AFTER);
  } finally {
    await load.stop();
  }
  await judgeBackup(stage, ended, frozen.length);
  const receipts = [];
  for (const pod of frozen) {
    const [receipt] = await stage.sidecar(namespace, pod).receipts();
    stage.equal(`${pod}: the freeze is consistent`, receipt?.verdict, 'consistent');
    if (options.mode !== undefined) stage.equal(`${pod}: its mode`, receipt?.mode, options.mode);
    if (receipt !== undefined) receipts.push({ ...receipt, thawedAt: receipt.thawedAt ?? null });
  }
  await stage.remove(namespace);
  const restored = await stage.velero.restore(name, name);
  stage.equal('the restore completes', [restored.phase, restored.errors], ['Completed', 0]);
  stage.measure('restore', restored.tookMs);
  await stage.ready(namespace, app.pods);
  for (const pod of frozen) await judgeRestored(stage, namespace, pod, name);
  await app.afterRestore(stage.access(namespace));
  await options.afterRestore?.(namespace);
  const ledger = await readLedger(path);
  const compared = await app.compare(stage.access(namespace), ledger, holdOf(receipts));
  stage.expect(
    `nothing of ${compared.acknowledgedBeforeFreeze} acknowledged writes is missing, and the application works`,
    compared.ok,
    compared.problems,
  );
  const hold = holdOf(receipts);
  if (hold.thawedAt !== undefined) {
    stage.measure('freeze to thaw', hold.thawedAt.getTime() - hold.freezeCalledAt.getTime());
  }
  stage.measure('slowest commit while held', compared.whileHeld.maxMs);
  stage.measure('p99 of commits while held', compared.whileHeld.p99);
  await stage.remove(namespace);
}

async function judgeBackup(stage: Stage, ended: Ended, pods: number): Promise<void> {
  const { phase, hooks, errors } = ended;
  stage.equal('the backup completes', [phase, errors], ['Completed', 0]);
  stage.equal('its hooks', hooks, { attempted: 2 * pods, failed: 0 });
  stage.measure('backup', ended.tookMs);
  if (phase !== 'Completed') {
    const log = await stage.velero.hookLog(ended.name);
    stage.expect('the hooks’ log', false, log.slice(-6).join('\n'));
  }
}

/** The init container ran, and the sidecar has verified the data by itself. */
export async function judgeRestored(
  stage: Stage,
  namespace: string,
  pod: string,
  restoreName: string,
): Promise<void> {
  const { status } = await stage.tools.get<{
    status: {
      initContainerStatuses?: { name: string; state: { terminated?: { exitCode: number } } }[];
    };
  }>('pod', pod, '-n', namespace);
  const init = status.initContainerStatuses?.find(({ name }) => name === 'quiesce-prepare-restore');
  stage.equal(`${pod}: prepare-restore ran`, init?.state.terminated?.exitCode, 0);
  const { verified, level, mark, message } = await stage.sidecar(namespace, pod).restored();
  stage.equal(
    `${pod}: the sidecar has verified it (${message})`,
    [verified, level],
    [true, 'position'],
  );
  stage.equal(`${pod}: it knows which restore made it`, mark, restoreName);
}
