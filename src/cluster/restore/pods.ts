import { QuiesceError } from '../../errors.ts';
import { each, type ObjectApi, PODS, reasonOf } from '../api/objects.ts';
import { placeOf } from '../gates/match.ts';
import type { Stages } from '../gates/stages.ts';
import {
  annotationsOf,
  type KubeObject,
  listAt,
  namespaceOf,
  textAt,
} from '../objects/kube-object.ts';
import { normalizePod } from '../objects/normalize.ts';
import { RESTORE } from './names.ts';

/** A namespace of the target, and what stands on it. */
export interface StagedNamespace {
  readonly namespace: string;
  readonly stages: Stages;
}

/** A pod that waits for its turn. */
interface Waiting {
  readonly pod: KubeObject;
  readonly layer: number | undefined;
  /** The member, by its key in the target. */
  readonly member: string | undefined;
}

/**
 * Lets the pods of released layers go. It is done again and again: a controller, or Velero, may create one at
 * any time, and the webhook may have read the namespace a moment before it was written.
 *
 * @returns the members of which a pod was seen waiting, by their keys
 */
export async function liftGates(
  api: ObjectApi,
  run: string,
  staged: readonly StagedNamespace[],
  released: ReadonlySet<number>,
): Promise<ReadonlySet<string>> {
  const all = (await each(staged, (one) => waitingIn(api, run, one))).flat();
  const free = all.filter(({ layer }) => layer === undefined || released.has(layer));
  await each(free, ({ pod }) => letGo(api, run, pod));
  return new Set(all.flatMap(({ member }) => member ?? []));
}

/** Lets all pods go, whatever layer they belong to. @returns how many waited */
export async function liftAll(
  api: ObjectApi,
  run: string,
  namespaces: readonly string[],
): Promise<number> {
  const none: Stages = { layers: [], last: 0 };
  const staged = namespaces.map((namespace) => ({ namespace, stages: none }));
  const all = (await each(staged, (one) => waitingIn(api, run, one))).flat();
  await each(all, ({ pod }) => letGo(api, run, pod));
  return all.length;
}

async function waitingIn(
  api: ObjectApi,
  run: string,
  { namespace, stages }: StagedNamespace,
): Promise<readonly Waiting[]> {
  const pods = (await api.list(PODS, namespace)) ?? [];
  return pods
    .filter((pod) => gateIn(pod) >= 0 || isHeld(pod, run))
    .map((pod) => {
      const place = placeOf(normalizePod(pod), stages);
      const member = place?.member;
      const key = member && `${namespace}/${member.kind}/${member.name}`;
      return { pod, layer: place?.layer, member: key };
    });
}

function gateIn(pod: KubeObject): number {
  return listAt(pod, 'spec', 'schedulingGates').findIndex(
    (one) => textAt(one, 'name') === RESTORE.gate,
  );
}

function isHeld(pod: KubeObject, run: string): boolean {
  const annotations = annotationsOf(pod);
  return annotations[RESTORE.hold] === run && annotations[RESTORE.release] === undefined;
}

/** Removes our gate alone: others may have put theirs beside it. */
async function letGo(api: ObjectApi, run: string, pod: KubeObject): Promise<void> {
  const place = { namespace: namespaceOf(pod), name: pod.metadata?.name ?? '' };
  const index = gateIn(pod);
  const path = `/spec/schedulingGates/${index}`;
  const body =
    index < 0
      ? { metadata: { uid: pod.metadata?.uid, annotations: { [RESTORE.release]: run } } }
      : [
          { op: 'test', path: `${path}/name`, value: RESTORE.gate },
          { op: 'remove', path },
        ];
  const answer = await api.send('PATCH', PODS, place, body);
  // It is gone, or has changed: the next look sees it as it is.
  if ([200, 404, 409, 422].includes(answer.status)) return;
  const text = `The pod ${place.name} in ${place.namespace} could not be released: ${reasonOf(answer)}.`;
  throw new QuiesceError('RESTORE_FAILED', text);
}
