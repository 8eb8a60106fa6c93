import { setTimeout as sleep } from 'node:timers/promises';
import { QuiesceError } from '../../errors.ts';
import type { ObjectApi } from '../api/objects.ts';
import type { RestoreProblem, RestoreRun } from './document.ts';
import { resumeCronJobs } from './cron-jobs.ts';
import { namespacesOf, unmarkNamespace } from './namespaces.ts';
import { liftAll } from './pods.ts';
import { type RecordedRestore, readRestore, recordRecovery } from './record.ts';

export interface Released {
  readonly run: string;
  readonly namespaces: readonly string[];
  /** How many pods waited. */
  readonly pods: number;
  readonly problems: readonly RestoreProblem[];
  /** Its record as it is now; absent: it has none. */
  readonly record?: RestoreRun;
}

export interface ReleaseOptions {
  /** Where to look for the record; `undefined`: everywhere. */
  readonly namespaces: readonly string[] | undefined;
  /** Waits until the source creates nothing more, and removes what it needed. @returns what is in the way */
  settle(signal: AbortSignal): Promise<readonly RestoreProblem[]>;
  progress(sentence: string): void;
}

/**
 * Ends a run wherever it stopped: lets all pods go, lets CronJobs run, takes the marks away. It needs
 * neither the plan nor the backup.
 *
 * @throws QuiesceError RUN_NOT_FOUND
 */
export async function releaseRun(
  api: ObjectApi,
  run: string,
  { namespaces, settle, progress }: ReleaseOptions,
  signal: AbortSignal,
): Promise<Released> {
  progress('looking for the run');
  const recorded = await readRestore(api, run, namespaces);
  const marked = (await namespacesOf(api, run)).flatMap(({ metadata }) => metadata?.name ?? []);
  const all = [...new Set([...marked, ...Object.values(recorded?.run.source.namespaces ?? {})])];
  if (all.length === 0) throw notFound(run);
  progress('letting all pods start');
  for (const name of all) await unmarkNamespace(api, name, run);
  let pods = await liftAll(api, run, all);
  const problems = await settle(signal);
  // Those that the webhook was asked about while the marks went away.
  await sleep(1_000, undefined, { signal }).catch(() => undefined);
  pods += await liftAll(api, run, all);
  progress('letting CronJobs run again');
  const left = [...problems, ...(await resumeCronJobs(api, run, all))];
  const record = await endRecord(api, recorded, left);
  return { run, namespaces: all, pods, problems: left, ...(record && { record }) };
}

/** A run that ended well stays as it is. */
async function endRecord(
  api: ObjectApi,
  recorded: RecordedRestore | undefined,
  problems: readonly RestoreProblem[],
): Promise<RestoreRun | undefined> {
  if (recorded === undefined) return undefined;
  const { home, run } = recorded;
  if (run.verdict !== undefined && run.verdict !== 'failed') return run;
  const healthy = run.layers.every(({ healthyAt }) => healthyAt !== undefined);
  const message = 'It was ended by --release: what was left started without waiting for its turn.';
  const released: RestoreProblem = { code: 'RUN_RELEASED', message };
  const ended: RestoreRun = {
    ...run,
    verdict: healthy && run.verdict === undefined ? 'unproven' : 'failed',
    problems: [...run.problems, released, ...problems],
    endedAt: new Date().toISOString(),
  };
  await recordRecovery(api, home, ended);
  return ended;
}

function notFound(run: string): QuiesceError {
  const hint =
    'kubectl get configmaps -A -l quiesce.dev/report=restore lists all; --to says where to look.';
  return new QuiesceError('RUN_NOT_FOUND', `There is no restore ${run}.`, { hint });
}
