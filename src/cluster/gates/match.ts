import { selects } from '../inventory/selectors.ts';
import type { Pod } from '../objects/pod.ts';
import type { StagedMember, Stages } from './stages.ts';

/** Where a pod belongs. */
export interface Place {
  readonly layer: number;
  /** Absent: it is the pod of a Job. */
  readonly member?: StagedMember;
}

const JOB_LABELS = ['batch.kubernetes.io/job-name', 'job-name'];

/**
 * The layer of a pod; `undefined`: it belongs to no member. The name counts first, then the owner, then the
 * labels, and among those the earliest layer: a member that waits for a pod of a later layer would wait for
 * ever.
 */
export function placeOf(pod: Pod, stages: Stages): Place | undefined {
  const all = stages.layers.flatMap((members, layer) =>
    members.map((member) => ({ layer, member })),
  );
  const { name } = pod.metadata ?? {};
  const owner = ownerOf(pod);
  const labels = pod.metadata?.labels ?? {};
  return (
    all.find(({ member }) => name !== undefined && member.pods?.includes(name) === true) ??
    all.find(({ member }) => owner !== undefined && member.owners?.includes(owner) === true) ??
    all.find(({ member }) => member.selectors?.some((one) => selects(one, labels)) === true) ??
    jobOf(pod, stages)
  );
}

/** A ReplicaSet of a Deployment counts as the Deployment: its name has a hash that nobody knows before. */
function ownerOf({ metadata }: Pod): string | undefined {
  const owners = metadata?.ownerReferences ?? [];
  const owner = owners.find(({ controller }) => controller === true) ?? owners[0];
  if (owner === undefined) return undefined;
  const hash = metadata?.labels?.['pod-template-hash'];
  const ofDeployment =
    owner.kind === 'ReplicaSet' && hash !== undefined && owner.name.endsWith(`-${hash}`);
  if (ofDeployment) return `Deployment/${owner.name.slice(0, -hash.length - 1)}`;
  return `${owner.kind}/${owner.name}`;
}

function jobOf({ metadata }: Pod, { jobs = [], cronJobs = [], last }: Stages): Place | undefined {
  const owner = metadata?.ownerReferences?.find(({ kind }) => kind === 'Job')?.name;
  const label = JOB_LABELS.map((one) => metadata?.labels?.[one]).find((one) => one !== undefined);
  const job = owner ?? label;
  if (job === undefined) return undefined;
  const cron = /^(.+)-\d+$/.exec(job)?.[1];
  const known = jobs.includes(job) || (cron !== undefined && cronJobs.includes(cron));
  return known ? { layer: last } : undefined;
}
