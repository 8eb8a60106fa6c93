import type { App, Hold } from '../apps/index.ts';
import type { Stage } from './stage.ts';
import type { Ended } from './velero.ts';

/** The volume is cut this long after Velero has asked for it: the database is held meanwhile. */
const LATE = 'late-20s';

/** Starts a backup whose cut comes late, and waits until the pod is held. */
export async function startLateBackup(stage: Stage, name: string, app: App): Promise<void> {
  const { namespace, pods } = app;
  await stage.velero.startBackup(name, { namespaces: [namespace], snapshotClass: LATE });
  await stage.sidecar(namespace, pods[0] ?? '').frozen();
}

export async function lateBackup(stage: Stage, name: string, app: App): Promise<Ended> {
  const options = { namespaces: [app.namespace], snapshotClass: LATE };
  return await stage.velero.backup(name, options);
}

/** The backup is marked as failed in part because its thaw failed, and its log says why. */
export async function judgeThawFailed(stage: Stage, ended: Ended, why: RegExp): Promise<void> {
  const { phase, hooks, name } = ended;
  stage.equal(`${name}: the backup is not called complete`, phase, 'PartiallyFailed');
  stage.equal(`${name}: its thaw failed`, hooks, { attempted: 2, failed: 1 });
  const log = (await stage.velero.hookLog(name)).join('\n');
  stage.match(`${name}: its log says why`, log, why);
}

/** A backup that went well, after which nothing is held. */
export async function judgeComplete(stage: Stage, ended: Ended, pods = 1): Promise<void> {
  const { phase, hooks, name, errors } = ended;
  const seen = { phase, errors, ...hooks };
  const wanted = { phase: 'Completed', errors: 0, attempted: 2 * pods, failed: 0 };
  stage.equal(`${name}: the backup completes with its hooks`, seen, wanted);
  if (phase === 'Completed') return;
  stage.expect(`${name}: its log`, false, (await stage.velero.hookLog(name)).slice(-4).join('\n'));
}

/** The pod's last freeze ended without a success, for this reason, and nothing is held. @returns its times */
export async function judgeInconsistent(stage: Stage, app: App, reason: string): Promise<Hold> {
  const sidecar = stage.sidecar(app.namespace, app.pods[0] ?? '');
  await sidecar.thawed();
  const [last] = await sidecar.receipts();
  const { verdict, reasons = [], requestedAt = '', thawedAt } = last ?? {};
  const seen = { verdict, reason: reasons.includes(reason) ? reason : reasons.join() };
  stage.equal('the receipt says so', seen, { verdict: 'inconsistent', reason });
  const ended = thawedAt === null || thawedAt === undefined ? {} : { thawedAt: new Date(thawedAt) };
  return { freezeCalledAt: new Date(requestedAt), ...ended };
}
