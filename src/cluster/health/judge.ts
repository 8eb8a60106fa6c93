import type { KubeObject } from '../objects/kube-object.ts';
import { sidecarContainer } from '../inventory/sidecar-container.ts';
import type { PlanMember } from '../plan/document.ts';
import { controllerCauses, wantedOf } from './controllers.ts';
import { Events } from './events.ts';
import { type Located, locate } from './locate.ts';
import { PodContext } from './pods/context.ts';
import { hasEnded, isReady, podCauses } from './pods/judge-pod.ts';
import { resourceCauses } from './resources.ts';
import { causeOf, type HealthScene } from './scene.ts';
import { serviceCauses } from './services.ts';
import { wordsOf } from './sidecar-words.ts';
import type { Cause, MemberState } from './state.ts';

/** Judges members by what was read. A pure function; the states have the order of the members. */
export function judge(scene: HealthScene, members: readonly PlanMember[]): readonly MemberState[] {
  const events = new Events(scene.catalog);
  return locate(scene.catalog, members).map((one) => judgeMember(one, scene, events));
}

function judgeMember(located: Located, scene: HealthScene, events: Events): MemberState {
  const { member } = located;
  const { namespace, kind, name } = member;
  const ref = { namespace, kind, name };
  const current = located.pods.filter((pod) => !isLeftover(pod, located));
  const causes = causesOf(located, current, scene, events);
  const words = wordsOf(
    scene,
    current.filter((pod) => pod.metadata?.deletionTimestamp === undefined && !hasEnded(pod)),
    (pod) => sidecarContainer(pod) !== undefined,
  );
  const { causes: more, ...said } = words;
  return { member: ref, ready: causes.length === 0, ...said, causes: unique([...causes, ...more]) };
}

/** The end of a pod that its controller replaces. The pods of a StatefulSet replace one another by name. */
function isLeftover(pod: KubeObject, { member }: Located): boolean {
  if (member.kind === 'Pod') return false;
  return hasEnded(pod) && pod.metadata?.deletionTimestamp === undefined;
}

function causesOf(
  located: Located,
  current: readonly KubeObject[],
  scene: HealthScene,
  events: Events,
): readonly Cause[] {
  const { object, custom, workloads, member } = located;
  const { catalog } = scene;
  const podsSay = current.flatMap((pod) => podCauses(new PodContext(pod, scene, events)));
  if (object === undefined) return [missing(member), ...podsSay];
  const said = custom ? resourceCauses(object, current.length > 0, catalog.now) : undefined;
  const controllers = workloads.flatMap((one) => controllerCauses(one, events));
  const own = [...(said?.causes ?? []), ...controllers];
  const bare = member.kind === 'Pod' || custom || workloads.length === 0;
  const unready = current.some((pod) => !isReady(pod));
  const unjudged =
    said !== undefined && !said.judged && own.length === 0 && current.length === 0
      ? [notJudged(object)]
      : [];
  // A controller whose rules hold is ready, even while a pod of an earlier template ends.
  const broken = own.length > 0 || (bare && unready) || unjudged.length > 0;
  if (broken) return byWeight([...podsSay, ...own, ...unjudged]);
  if (workloads.length > 0 && workloads.every((one) => wantedOf(one) === 0)) return [];
  const ready = current.filter(isReady);
  return ready.length === 0 ? [] : serviceCauses(catalog, ready);
}

function missing(member: PlanMember): Cause {
  const { kind, name, namespace } = member;
  return {
    code: 'MEMBER_MISSING',
    message: `There is no ${kind} ${name} in ${namespace}.`,
    hint: 'It has not been created yet, or was deleted.',
    object: `${namespace} ${kind}/${name}`,
    passing: true,
  };
}

function notJudged(object: KubeObject): Cause {
  const text = 'It says nothing of its state that quiesce knows, and no pod belongs to it';
  const hint = 'Look at it yourself: kubectl describe.';
  return causeOf(object, 'RESOURCE_NOT_JUDGED', text, { hint, passing: true });
}

/** What is in vain first; then what says more than that something is missing. */
function byWeight(causes: readonly Cause[]): readonly Cause[] {
  const vague = /^(?:PODS_|STARTING|ROLLOUT_|NOT_OBSERVED)/;
  const rank = ({ passing, code }: Cause): number => (passing ? 1 : 0) + (vague.test(code) ? 2 : 0);
  return causes.toSorted((a, b) => rank(a) - rank(b));
}

function unique(causes: readonly Cause[]): readonly Cause[] {
  return [...new Map(causes.map((one) => [JSON.stringify(one), one])).values()];
}
