import { type App, type Comparison, holdOf, readLedger } from '../apps/index.ts';
import { longestHold } from '../stage/hook-log.ts';
import { judgeComplete } from '../stage/late.ts';
import { initContainer } from '../stage/restored.ts';
import { compareTwice, measureRound } from '../stage/round.ts';
import { underLoad } from '../stage/under-load.ts';
import type { ReceiptSeen } from '../stage/sidecar.ts';
import type { Stage, Way } from '../stage/stage.ts';
import type { BackupOptions, Ended } from '../stage/velero.ts';

export interface PathOptions {
  readonly name: string;
  /** The row of this path in bench/results-cluster.md; without it, the story's own. */
  readonly way?: Way;
  readonly backup?: Omit<BackupOptions, 'namespaces'>;
  /** Pods that Velero freezes; all of the application's by default. */
  readonly frozen?: readonly string[] | (() => Promise<readonly string[]>);
  /** Looks at the backup, before the namespace is deleted. */
  readonly afterBackup?: (
    ended: Ended,
    receipts: readonly ReceiptSeen[],
    frozen: readonly string[],
  ) => Promise<void>;
  /** Between the restored pods' readiness and the comparison. */
  readonly afterRestore?: (namespace: string, frozen: readonly string[]) => Promise<void>;
  readonly mode?: string;
}

/** Backup under load, namespace deleted, restore, comparison with all that was acknowledged. */
export async function backupAndRestore(
  stage: Stage,
  app: App,
  options: PathOptions,
): Promise<void> {
  try {
    await stage.deploy(app);
    await walk(stage, app, options);
  } finally {
    await stage.remove(app.namespace);
  }
}

async function walk(stage: Stage, app: App, options: PathOptions): Promise<void> {
  const { namespace } = app;
  const frozen =
    typeof options.frozen === 'function' ? await options.frozen() : (options.frozen ?? app.pods);
  const name = `${options.name}-${stage.tag}`;
  const { ledger: path, result: backup } = await underLoad(stage, app, options.name, () =>
    stage.velero.backup(name, { namespaces: [namespace], ...options.backup }),
  );
  await judgeComplete(stage, backup, frozen.length);
  const heldMs = longestHold(await stage.velero.hookRuns(backup.name));
  const receipts = await receiptsOf(stage, namespace, frozen, options.mode);
  await options.afterBackup?.(backup, receipts, frozen);
  await stage.remove(namespace);
  const restoreMs = await restore(stage, app, backup.name);
  for (const pod of frozen) await judgeRestored(stage, namespace, pod, backup.name);
  await app.afterRestore(stage.access(namespace));
  await options.afterRestore?.(namespace, frozen);
  const hold = holdOf(receipts.map((one) => ({ ...one, thawedAt: one.thawedAt ?? null })));
  const ledger = await readLedger(path);
  const found = await compareTwice(stage, app, namespace, { ledger, hold, backup });
  judgeComparison(stage, found.compared);
  measureRound(stage, options.way ?? null, {
    backup,
    heldMs,
    waits: found.compared.whileHeld,
    restoreMs,
    ...found,
  });
}

async function receiptsOf(
  stage: Stage,
  namespace: string,
  pods: readonly string[],
  mode: string | undefined,
): Promise<readonly ReceiptSeen[]> {
  const receipts: ReceiptSeen[] = [];
  for (const pod of pods) {
    const [receipt] = await stage.sidecar(namespace, pod).receipts();
    stage.equal(`${pod}: the freeze is consistent`, receipt?.verdict, 'consistent');
    if (mode !== undefined) stage.equal(`${pod}: its mode`, receipt?.mode, mode);
    if (receipt !== undefined) receipts.push(receipt);
  }
  return receipts;
}

/** @returns how long it took until the pods were ready */
async function restore(stage: Stage, app: App, name: string): Promise<number> {
  const from = performance.now();
  const { phase, errors } = await stage.velero.restore(name, name);
  stage.equal('the restore completes', [phase, errors], ['Completed', 0]);
  await stage.ready(app.namespace, app.pods);
  return performance.now() - from;
}

function judgeComparison(
  stage: Stage,
  { ok, problems, acknowledgedBeforeFreeze }: Comparison,
): void {
  stage.expect(
    `nothing of ${acknowledgedBeforeFreeze} acknowledged writes is missing, and the application works`,
    ok,
    problems,
  );
}

/** The init container ran, and the sidecar has verified the data by itself. */
export async function judgeRestored(
  stage: Stage,
  namespace: string,
  pod: string,
  restoreName: string,
): Promise<void> {
  const init = await initContainer(stage, namespace, pod);
  stage.equal(`${pod}: prepare-restore ran`, init?.state.terminated?.exitCode, 0);
  const { verified, level, mark, message } = await stage.sidecar(namespace, pod).restored();
  stage.equal(
    `${pod}: the sidecar has verified it (${message})`,
    [verified, level],
    [true, 'position'],
  );
  stage.equal(`${pod}: it knows which restore made it`, mark, restoreName);
}
