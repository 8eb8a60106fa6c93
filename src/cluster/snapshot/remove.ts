import { QuiesceError } from '../../errors.ts';
import { annotationsOf, type KubeObject, labelsOf } from '../objects/kube-object.ts';
import {
  CLAIMS,
  CONFIG_MAPS,
  each,
  groupSnapshots,
  type Kind,
  reasonOf,
  type ObjectApi,
  SNAPSHOTS,
} from '../api/objects.ts';
import { LEASE_ANNOTATION, RUN_LABELS } from '../run/names.ts';
import { markFailed } from './record.ts';
import { readRetained } from './retained.ts';
import type { Retained } from './document.ts';
import type { RunObjects } from './runs.ts';

/**
 * Deletes the snapshots of a run, and its report last. They are marked as failed before: so a run that is
 * deleted by half never says that it is proven, and the next prune goes on with it.
 *
 * @returns what stays, since its class says `deletionPolicy: Retain`
 */
export async function removeRun(
  api: ObjectApi,
  objects: RunObjects,
  groupVersion: string | undefined,
): Promise<Retained> {
  await markFailed(api, objects, groupVersion);
  const kept = await readRetained(api, objects, groupVersion);
  if (groupVersion !== undefined) {
    // Its members are deleted with it. They cannot be deleted before.
    await each(objects.groupSnapshots, (one) => remove(api, groupSnapshots(groupVersion), one));
  }
  await each(objects.snapshots, (one) => remove(api, SNAPSHOTS, one));
  await each(objects.reports, (one) => remove(api, CONFIG_MAPS, one));
  return kept;
}

async function remove(api: ObjectApi, kind: Kind, { metadata }: KubeObject): Promise<void> {
  const { namespace = '', name = '', uid } = metadata ?? {};
  const options = { apiVersion: 'v1', kind: 'DeleteOptions', preconditions: { uid } };
  const answer = await api.send('DELETE', kind, { namespace, name }, options);
  // 409: another object has the name by now.
  if ([200, 202, 404, 409].includes(answer.status)) return;
  const text = `${kind.plural} ${name} in ${namespace} could not be deleted: ${reasonOf(answer)}`;
  throw new QuiesceError('PRUNE_FAILED', `${text}.`);
}

/** Takes the label by which a group snapshot selected them off the claims. */
export async function unmarkClaims(
  api: ObjectApi,
  namespaces: readonly string[] | undefined,
  { group, id, lease }: { readonly group: string; readonly id?: string; readonly lease?: string },
): Promise<void> {
  const run = id === undefined ? RUN_LABELS.run : `${RUN_LABELS.run}=${id}`;
  const marked = await api.listIn(CLAIMS, namespaces, `${run},${RUN_LABELS.group}=${group}`);
  await each(marked, async (claim) => {
    const { namespace = '', name = '' } = claim.metadata ?? {};
    if (labelsOf(claim)[RUN_LABELS.run] === undefined || isOfOther(claim, lease)) return;
    const labels = { [RUN_LABELS.run]: null, [RUN_LABELS.group]: null };
    const annotations = { [LEASE_ANNOTATION]: null };
    await api.send('PATCH', CLAIMS, { namespace, name }, { metadata: { labels, annotations } });
  });
}

/** Whether it belongs to a run that another Lease keeps apart, and that may be under way. */
export function isOfOther(object: KubeObject, lease: string | undefined): boolean {
  const own = annotationsOf(object)[LEASE_ANNOTATION];
  return own !== undefined && lease !== undefined && own !== lease;
}
