import { INIT_CONTAINER } from '../../../src/cluster/objects/names.ts';
import type { Comparison } from '../apps/index.ts';
import type { RestoreSeen } from './sidecar.ts';
import type { Stage } from './stage.ts';

export interface RestoreInto {
  /** Velero's name for the restore. */
  readonly name: string;
  readonly backup: string;
  readonly from: string;
  readonly into: string;
  /** Fewer than the application's pods, if the backup has only those. */
  readonly pods: readonly string[];
}

/** Restores into another namespace, as docs/restore.md says, and waits for the pods. */
export async function restoreInto(stage: Stage, restore: RestoreInto): Promise<void> {
  const { name, backup, from, into, pods } = restore;
  const mapping = ['--namespace-mappings', `${from}:${into}`];
  const ended = await stage.velero.restore(name, backup, mapping);
  stage.equal(`${name}: the restore completes`, [ended.phase, ended.errors], ['Completed', 0]);
  await stage.ready(into, pods);
}

interface InitContainer {
  readonly name: string;
  readonly state: { readonly terminated?: { readonly exitCode: number } };
}

/** The container of a pod in which `prepare-restore` ran. */
export async function initContainer(
  stage: Stage,
  namespace: string,
  pod: string,
): Promise<InitContainer | undefined> {
  const { status } = await stage.tools.get<{
    status: { initContainerStatuses?: readonly InitContainer[] };
  }>('pod', pod, '-n', namespace);
  return status.initContainerStatuses?.find(({ name }) => name === INIT_CONTAINER);
}

/** What `prepare-restore` said in a pod, and its exit code; `null`: the pod has no such container. */
export async function preparation(
  stage: Stage,
  namespace: string,
  pod: string,
): Promise<{ readonly exitCode: number | null; readonly said: string } | null> {
  const init = await initContainer(stage, namespace, pod);
  if (init === undefined) return null;
  const said = await stage.tools.kubectl(['-n', namespace, 'logs', pod, '-c', INIT_CONTAINER]);
  return { exitCode: init.state.terminated?.exitCode ?? null, said };
}

/** A pod whose volume came back without proof: it runs, and everything says so. */
export async function judgeUnproven(
  stage: Stage,
  namespace: string,
  pod: string,
  reason = 'no-receipt',
): Promise<RestoreSeen> {
  const prepared = await preparation(stage, namespace, pod);
  stage.match(`${pod}: prepare-restore has nothing to do`, prepared?.said ?? '', /nothing-to-do/);
  const { level, verified, ...restore } = await stage.sidecar(namespace, pod).restored();
  stage.expect(`${pod}: the restore is never called verified`, verified !== true, restore);
  const seen = { level, reason: restore.reason };
  stage.equal(`${pod}: it is called unproven, with the reason`, seen, {
    level: 'unproven',
    reason,
  });
  const { stdout } = await stage.sidecar(namespace, pod).quiesce('status');
  stage.match(`${pod}: quiesce status says so to a person`, stdout, /NOT proven|unproven/i);
  return { level, verified, ...restore };
}

/** Records that a comparison found nothing missing. */
export function judgeWhole(stage: Stage, what: string, compared: Comparison): void {
  const { acknowledgedBeforeFreeze: count, ok, problems } = compared;
  stage.expect(`${what}: none of ${count} acknowledged writes is missing`, ok, problems);
}
