import { QuiesceError } from '../../errors.ts';
import { abortedWithin, lookUntil } from '../../lib/deadline.ts';
import { CONFIG_MAPS, each, type Kind, type ObjectApi, PODS, reasonOf } from '../api/objects.ts';
import { at, type KubeObject, labelsOf } from '../objects/kube-object.ts';
import { createOnce, notCreated } from '../restore/create-once.ts';
import { RESTORE } from '../restore/names.ts';
import { NAMESPACES } from '../restore/namespaces.ts';
import { makeVolumes } from '../restore/volumes/make.ts';
import type { CopyPlan } from './copies.ts';
import { configsOf } from './copies.ts';
import { amongThemselves, denyAll, limitsFor, quotaFor, scratchNamespace } from './isolation.ts';
import { LIMIT_RANGES, POLICIES, QUOTAS, SECRETS } from './kinds.ts';
import type { DrillMarks } from './marks.ts';
import { copyOfConfig } from './references.ts';
import type { DrillSource } from './source.ts';

/** The quota's own controller must have seen it before any pod is admitted. */
const QUOTA_WITHIN_MS = 30_000;
/** The controllers of a cluster put it into each namespace. */
const EVERYWHERE = /^(?:kube-root-ca\.crt|openshift-service-ca\.crt)$/;

/** The scratch namespaces, closed to all traffic. @throws QuiesceError DRILL_SCRATCH_TAKEN, RESTORE_NOT_CREATED */
export async function makeScratch(
  api: ObjectApi,
  source: DrillSource,
  plan: CopyPlan,
  marks: DrillMarks,
  signal: AbortSignal,
): Promise<void> {
  for (const [from, to] of plan.namespaces) {
    signal.throwIfAborted();
    await makeNamespace(api, scratchNamespace(to, marks, await source.namespace(from)));
    await made(api, POLICIES, denyAll(to, marks), signal);
    await made(api, LIMIT_RANGES, limitsFor(to, marks), signal);
    const pods = plan.copies.filter(({ namespace }) => namespace === from).length;
    const claims = plan.volumes.filter(({ target }) => target.namespace === to).length;
    const quota = quotaFor(to, marks, { pods, claims });
    await made(api, QUOTAS, quota, signal);
    await settled(api, to, quota.metadata?.name ?? '', signal);
  }
}

/** The same for a whole application, whose members may talk to one another. */
export async function makeNamespaces(
  api: ObjectApi,
  source: DrillSource,
  namespaces: ReadonlyMap<string, string>,
  marks: DrillMarks,
  signal: AbortSignal,
): Promise<void> {
  for (const [from, to] of namespaces) {
    signal.throwIfAborted();
    await makeNamespace(api, scratchNamespace(to, marks, await source.namespace(from)));
    await made(api, POLICIES, amongThemselves(to, marks), signal);
    await made(api, LIMIT_RANGES, limitsFor(to, marks), signal);
    const quota = quotaFor(to, marks, undefined);
    await made(api, QUOTAS, quota, signal);
    await settled(api, to, quota.metadata?.name ?? '', signal);
  }
}

async function makeNamespace(api: ObjectApi, namespace: KubeObject): Promise<void> {
  const name = namespace.metadata?.name ?? '';
  const answer = await api.send('POST', NAMESPACES, {}, namespace);
  if (answer.status === 201) return;
  if (answer.status === 409) {
    const found = await api.get(NAMESPACES, undefined, name);
    const own = labelsOf(found)[RESTORE.drill] === labelsOf(namespace)[RESTORE.drill];
    // A lost answer: the first call had made it.
    if (own && found?.metadata?.deletionTimestamp === undefined) return;
    throw new QuiesceError('DRILL_SCRATCH_TAKEN', `There is a namespace ${name} already.`);
  }
  throw notCreated(namespace, reasonOf(answer));
}

async function settled(
  api: ObjectApi,
  namespace: string,
  name: string,
  signal: AbortSignal,
): Promise<void> {
  const seen = async (): Promise<true | undefined> => {
    const hard = at(await api.get(QUOTAS, namespace, name), 'status', 'hard');
    return hard === undefined ? undefined : true;
  };
  await lookUntil(seen, 200, abortedWithin(QUOTA_WITHIN_MS, signal));
}

/** The ConfigMaps and Secrets that the copies name, the claims, and then the pods. */
export async function makeConfigs(
  api: ObjectApi,
  source: DrillSource,
  plan: CopyPlan,
  marks: DrillMarks,
  signal: AbortSignal,
): Promise<void> {
  await each(configsOf(plan), async ({ kind, name, namespace }) => {
    if (EVERYWHERE.test(name)) return;
    const found = await source.config({ kind, name }, namespace);
    const to = plan.namespaces.get(namespace) ?? '';
    const copy = found && copyOfConfig({ ...found, kind }, to, marks);
    // One that is missing may be optional; if it is not, the pod says so.
    if (copy !== undefined) {
      await made(api, kind === 'Secret' ? SECRETS : CONFIG_MAPS, copy, signal);
    }
  });
}

export async function makeClaims(
  api: ObjectApi,
  { volumes }: CopyPlan,
  signal: AbortSignal,
): Promise<void> {
  await makeVolumes(api, volumes, signal);
}

export async function makePods(
  api: ObjectApi,
  { copies }: CopyPlan,
  signal: AbortSignal,
): Promise<void> {
  await each(copies, ({ pod }) => made(api, PODS, pod as KubeObject, signal));
}

export async function made(
  api: ObjectApi,
  kind: Kind,
  object: KubeObject,
  signal: AbortSignal,
): Promise<void> {
  const created = await createOnce(api, kind, object, signal);
  if (created === 'taken') throw notCreated(object, 'another object has its name');
}
