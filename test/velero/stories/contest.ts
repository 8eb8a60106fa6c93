import {
  type App,
  type Hold,
  hookAnnotations,
  type PastedHooks,
  readLedger,
  whileHeld,
} from '../apps/index.ts';
import { longestHold } from '../stage/hook-log.ts';
import { compareTwice, measureRound, type Round } from '../stage/round.ts';
import type { Stage, Way } from '../stage/stage.ts';
import type { Ended } from '../stage/velero.ts';
import { underLoad } from '../stage/under-load.ts';
import { judgeRestored } from './backup-restore.ts';

/** How often each way is played; the ways take turns. */
const ROUNDS = Number(process.env['QUIESCE_VELERO_ROUNDS'] ?? 3);
/** A server that is not up by then does not come up. */
const UP_WITHIN_MS = 120_000;
const BLOCKED_MS = 1_000;

export interface Contestant {
  readonly way: Way;
  /** What the webhook wrote, hooks of one's own, or none. */
  readonly hooks: 'quiesce' | PastedHooks | null;
  /** The phase of each backup, where it is sure. */
  readonly ends?: 'Completed' | 'PartiallyFailed';
  /** What a hook says each time. */
  readonly says?: RegExp;
  /** Whether writers wait from hook to hook. */
  readonly blocks?: boolean;
}

/** The same database twice: with quiesce, and as someone runs it who pastes hooks. */
export interface Contest {
  readonly held: App;
  readonly plain: App;
  readonly ways: readonly Contestant[];
}

/** Plays all ways in turn, under the same load, and measures each of them by the same code. */
export async function compareWays(stage: Stage, name: string, contest: Contest): Promise<void> {
  const { held, plain, ways } = contest;
  const namespaces = [held.namespace, plain.namespace];
  const restored: string[] = [];
  try {
    await Promise.all([stage.deploy(held), stage.deploy(plain)]);
    for (let round = 1; round <= ROUNDS; round += 1) {
      for (const [index, contestant] of ways.entries()) {
        const id = `${name}-${index}-${round}-${stage.tag}`;
        restored.push(id);
        const app = contestant.hooks === 'quiesce' ? held : plain;
        await playRound(stage, app, contestant, { id, ledger: `${name}-${app.namespace}` });
        await stage.tools.kubectl(['delete', 'namespace', id, '--wait=false']);
      }
    }
  } finally {
    // A file system that stayed frozen would keep its pod from ending.
    await unfreeze(stage, plain, ways);
    await stage.remove(...namespaces, ...restored);
  }
}

async function playRound(
  stage: Stage,
  app: App,
  contestant: Contestant,
  { id, ledger }: { readonly id: string; readonly ledger: string },
): Promise<void> {
  if (contestant.hooks !== 'quiesce') await putHooks(stage, app, contestant.hooks);
  const { ledger: path, result: backup } = await underLoad(stage, app, ledger, () =>
    stage.velero.backup(id, { namespaces: [app.namespace] }),
  );
  const { hold, heldMs } = await holdOfLog(stage, backup);
  const restoreMs = await restore(stage, app, id);
  const recorded = await readLedger(path);
  if (restoreMs !== null) await app.afterRestore(stage.access(id));
  const found = await compareTwice(stage, app, id, { ledger: recorded, hold, backup });
  if (!found.compared.canLogIn) await tellWhy(stage, app, id, contestant.way);
  const waits = whileHeld(recorded, hold);
  const round: Round = { backup, heldMs, waits, restoreMs, ...found };
  measureRound(stage, contestant.way, round);
  await judge(stage, contestant, round);
  if (contestant.hooks !== 'quiesce' || restoreMs === null) return;
  for (const pod of app.pods) await judgeRestored(stage, id, pod, id);
}

/** From the first hook to the last one; without any, the time of the whole backup. */
async function holdOfLog(
  stage: Stage,
  { name, startedAt, tookMs }: Ended,
): Promise<{ hold: Hold; heldMs: number | null }> {
  const runs = await stage.velero.hookRuns(name);
  const from = runs.map((run) => run.from.getTime());
  const to = runs.map((run) => run.to.getTime());
  if (runs.length === 0) {
    from.push(startedAt.getTime());
    to.push(startedAt.getTime() + tookMs);
  }
  const hold = {
    freezeCalledAt: new Date(Math.min(...from)),
    thawedAt: new Date(Math.max(...to)),
  };
  return { hold, heldMs: longestHold(runs) };
}

/** Restores beside the original. @returns how long until the pods were ready; `null` if they never were */
async function restore(stage: Stage, app: App, id: string): Promise<number | null> {
  const from = performance.now();
  const mapping = ['--namespace-mappings', `${app.namespace}:${id}`];
  const { phase } = await stage.velero.restore(id, id, mapping);
  stage.equal(`${id}: the restore completes`, phase, 'Completed');
  try {
    await stage.ready(id, app.pods, UP_WITHIN_MS);
    return performance.now() - from;
  } catch {
    return null;
  }
}

/** A copy that no server starts on is a result, too: with what the server said. */
async function tellWhy(stage: Stage, app: App, id: string, { name }: Way): Promise<void> {
  const [pod = ''] = app.pods;
  const logs = ['-n', id, 'logs', pod, '--tail=4'];
  const before = await stage.tools.tryKubectl([...logs, '--previous']);
  const { stdout } = before.status === 0 ? before : await stage.tools.tryKubectl(logs);
  stage.expect(`${name}: no server comes up. ${stdout.trim().replaceAll('\n', ' / ')}`, true);
}

async function judge(
  stage: Stage,
  { way, hooks, ends, says, blocks }: Contestant,
  { backup, waits, compared }: Round,
): Promise<void> {
  const said = `${way.name}: `;
  const { phase } = backup;
  if (hooks === 'quiesce') {
    stage.equal(`${said}the backup completes`, phase, 'Completed');
    stage.expect(`${said}nothing is missing`, compared?.ok === true, compared?.problems);
    return;
  }
  if (ends !== undefined) stage.equal(`${said}the backup is ${ends}`, phase, ends);
  if (says !== undefined) {
    stage.match(`${said}a hook fails`, (await stage.velero.hookLog(backup.name)).join('\n'), says);
  }
  if (blocks === true) {
    const { maxMs } = waits;
    stage.expect(`${said}writers wait from hook to hook`, maxMs > BLOCKED_MS, `${maxMs} ms`);
  }
}

/** Changes the hooks of running pods: Velero reads them when it backs up. */
async function putHooks(stage: Stage, app: App, hooks: PastedHooks | null): Promise<void> {
  const annotations = Object.entries(hookAnnotations(hooks)).map(([key, value]) =>
    value === null ? `${key}-` : `${key}=${value}`,
  );
  const pods = app.pods.map((pod) => `pod/${pod}`);
  const where = ['-n', app.namespace, 'annotate', '--overwrite', ...pods];
  await stage.tools.kubectl([...where, ...annotations]);
}

async function unfreeze(stage: Stage, app: App, ways: readonly Contestant[]): Promise<void> {
  for (const { hooks } of ways) {
    if (hooks === null || hooks === 'quiesce' || hooks.post === undefined) continue;
    for (const pod of app.pods) {
      const where = ['-n', app.namespace, 'exec', pod, '-c', hooks.container, '--'];
      await stage.tools.tryKubectl([...where, ...hooks.post], { timeoutMs: 30_000 });
    }
  }
}
