import { abortedWithin } from '../../../../lib/deadline.ts';
import { QuiesceError } from '../../../../errors.ts';
import { each, type Kind, type ObjectApi, PODS, reasonOf } from '../../../api/objects.ts';
import {
  annotationsOf,
  at,
  type KubeObject,
  listAt,
  namespaceOf,
  refOf,
  refText,
  textAt,
} from '../../../objects/kube-object.ts';
import { membersOf, type Plan, type PlanMember } from '../../../plan/document.ts';
import { poll } from '../../../run/poll.ts';
import { CRON_JOBS } from '../../cron-jobs.ts';
import { RESTORE } from '../../names.ts';
import { REPLACED } from './names.ts';

const apps = (plural: string): Kind => ({ group: 'apps', version: 'v1', plural });
export const SCALABLE: Readonly<Record<string, Kind>> = {
  StatefulSet: apps('statefulsets'),
  Deployment: apps('deployments'),
  ReplicaSet: apps('replicasets'),
};
const PACE = { firstMs: 300, longestMs: 2_000, giveUpMs: 120_000 };
const SHOWN = 5;

/** The workloads of a plan that have replicas. */
export function scalable(plan: Plan): readonly PlanMember[] {
  return membersOf(plan).filter(({ kind }) => SCALABLE[kind] !== undefined);
}

/**
 * Scales every workload to 0, and suspends the CronJobs. Its own number of replicas is written down in the
 * same change. One that this run has scaled before stays as it is.
 *
 * @throws QuiesceError RESTORE_FAILED, FORBIDDEN, CLUSTER_UNREACHABLE
 */
export async function scaleDown(api: ObjectApi, plan: Plan, id: string): Promise<void> {
  await each(scalable(plan), async (member) => {
    const { namespace, name } = member;
    const kind = SCALABLE[member.kind] as Kind;
    const found = await api.get(kind, namespace, name);
    if (found === undefined || scaledBy(found)?.id === id) return;
    const replicas = scaledBy(found)?.replicas ?? replicasOf(found);
    const annotations = { [REPLACED.scaled]: `${id}=${replicas}` };
    await change(api, kind, found, { metadata: { annotations }, spec: { replicas: 0 } });
  });
  const jobs = await api.listIn(CRON_JOBS, plan.namespaces);
  await each(jobs, async (job) => {
    if (at(job, 'spec', 'suspend') === true) return;
    const annotations = { [RESTORE.suspended]: id };
    await change(api, CRON_JOBS, job, { metadata: { annotations }, spec: { suspend: true } });
  });
}

/** Gives every workload that this run has scaled its own replicas again. */
export async function scaleUp(api: ObjectApi, plan: Plan, id: string): Promise<void> {
  await each(scalable(plan), async (member) => {
    const kind = SCALABLE[member.kind] as Kind;
    const found = await api.get(kind, member.namespace, member.name);
    const scaled = scaledBy(found);
    if (found === undefined || scaled?.id !== id) return;
    const annotations = { [REPLACED.scaled]: null };
    const body = { metadata: { annotations }, spec: { replicas: scaled.replicas } };
    await change(api, kind, found, body);
  });
}

/** Workloads that this run has stopped and not started again, as `NAMESPACE KIND/NAME`. */
export async function stoppedBy(
  api: ObjectApi,
  id: string,
  namespaces: readonly string[],
): Promise<readonly string[]> {
  const kinds = await each(Object.entries(SCALABLE), async ([name, kind]) => {
    const all = await api.listIn(kind, namespaces);
    return all
      .filter((one) => scaledBy(one)?.id === id)
      .map((one) => refText(refOf({ ...one, kind: name })));
  });
  return kinds.flat();
}

/** The run that has scaled it to 0, and what it had before. */
export function scaledBy(
  workload: KubeObject | undefined,
): { readonly id: string; readonly replicas: number } | undefined {
  const [, id, count] = /^(.+)=(\d+)$/.exec(annotationsOf(workload)[REPLACED.scaled] ?? '') ?? [];
  return id === undefined ? undefined : { id, replicas: Number(count) };
}

function replicasOf(workload: KubeObject): number {
  const replicas = at(workload, 'spec', 'replicas');
  return typeof replicas === 'number' ? replicas : 1;
}

/**
 * Waits until no pod mounts any of the claims, and no pod of the members runs.
 *
 * @param claims as `NAMESPACE/NAME`
 * @throws QuiesceError RESTORE_FAILED, with the pods that are left when the time is over
 */
export async function untilUnused(
  api: ObjectApi,
  plan: Plan,
  claims: ReadonlySet<string>,
  signal: AbortSignal,
  withinMs: number,
): Promise<void> {
  let left: readonly KubeObject[] = [];
  const own = new Set(
    scalable(plan).flatMap(({ namespace, pods }) => pods.map((one) => `${namespace}/${one}`)),
  );
  const limit = abortedWithin(withinMs, signal);
  const free = await poll(
    async () => {
      const pods = await api.listIn(PODS, plan.namespaces);
      left = pods.filter(
        (pod) => uses(pod, claims) || own.has(`${namespaceOf(pod)}/${pod.metadata?.name ?? ''}`),
      );
      return left.length === 0;
    },
    limit,
    PACE,
  );
  signal.throwIfAborted();
  if (free) return;
  const names = left.slice(0, SHOWN).map((one) => refText(refOf({ ...one, kind: 'Pod' })));
  const more = left.length > SHOWN ? ` and ${left.length - SHOWN} more` : '';
  throw new QuiesceError(
    'RESTORE_FAILED',
    `Pods still run although their workloads are scaled to 0, or use a claim that is to be replaced: ${names.join(', ')}${more}. No claim was replaced.`,
    { hint: 'Something may scale them up again (GitOps, an autoscaler), or a Job has the claim.' },
  );
}

/** A finished pod mounts nothing any more. */
function uses(pod: KubeObject, claims: ReadonlySet<string>): boolean {
  if (['Succeeded', 'Failed'].includes(textAt(pod, 'status', 'phase') ?? '')) return false;
  return listAt(pod, 'spec', 'volumes').some((volume) =>
    claims.has(`${namespaceOf(pod)}/${textAt(volume, 'persistentVolumeClaim', 'claimName') ?? ''}`),
  );
}

/** The version goes along: a workload that somebody else has changed since is not overwritten. */
async function change(api: ObjectApi, kind: Kind, object: KubeObject, body: object): Promise<void> {
  const { namespace = '', name = '' } = object.metadata ?? {};
  const version = textAt(object, 'metadata', 'resourceVersion');
  const { metadata, ...rest } = body as { readonly metadata?: object };
  const whole = {
    ...rest,
    metadata: { ...metadata, ...(version !== undefined && { resourceVersion: version }) },
  };
  const answer = await api.send('PATCH', kind, { namespace, name }, whole);
  if (answer.status === 200) return;
  const text = `${kind.plural} ${name} in ${namespace} could not be changed: ${reasonOf(answer)}.`;
  throw new QuiesceError('RESTORE_FAILED', text);
}
