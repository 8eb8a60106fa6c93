import { at, type KubeObject, listAt, textAt } from '../../objects/kube-object.ts';
import { redactLine } from '../../../lib/redact.ts';
import { condition } from '../controllers.ts';
import type { Cause } from '../state.ts';
import { isDone, type Part, partCauses, partsOf, speaks } from './containers.ts';
import type { PodContext } from './context.ts';
import { missingIn } from './missing.ts';
import {
  claimCauses,
  endingCauses,
  gateCauses,
  mountFailure,
  nodeCauses,
  unscheduledCauses,
} from './place.ts';

export function isReady(pod: KubeObject): boolean {
  const gone = pod.metadata?.deletionTimestamp !== undefined;
  return !gone && textAt(condition(pod, 'Ready'), 'status') === 'True';
}

/** Whether the pod has ended for good: nothing of it runs, and its controller makes another. */
export function hasEnded(pod: KubeObject): boolean {
  const phase = textAt(pod, 'status', 'phase');
  return phase === 'Failed' || phase === 'Succeeded';
}

/** Why a pod is not ready: the first thing in its way, since what comes later follows from it. */
export function podCauses(context: PodContext): readonly Cause[] {
  const { pod } = context;
  if (isReady(pod)) return [];
  const early = [endingCauses, failedCauses, gateCauses, unscheduledCauses, nodeCauses];
  for (const step of early) {
    const found = step(context);
    if (found.length > 0) return found;
  }
  const parts = partsOf(context);
  const stopped = parts.find((one) => one.init && !isDone(one));
  const now = stopped === undefined ? parts.filter((one) => !one.init) : [stopped];
  const causes = now.flatMap((one) => (isDone(one) ? [] : partCauses(one, context)));
  if (causes.length > 0) return causes;
  if (now.some((one) => !isDone(one))) return notStarted(context);
  return [readinessGate(context)];
}

/** The containers whose last words would help. */
export function speakersOf(context: PodContext): readonly Part[] {
  if (isReady(context.pod)) return [];
  const parts = partsOf(context);
  const stopped = parts.find((one) => one.init && !isDone(one));
  const now = stopped === undefined ? parts : [stopped];
  return now.filter(speaks);
}

function failedCauses(context: PodContext): readonly Cause[] {
  const { pod } = context;
  if (!hasEnded(pod)) return [];
  const reason = textAt(pod, 'status', 'reason') ?? textAt(pod, 'status', 'phase') ?? '';
  const message = redactLine(textAt(pod, 'status', 'message') ?? '');
  const said = message === '' ? '' : `: ${message}`;
  const hint = 'Nothing starts it again: delete it, so that its controller makes another.';
  return [context.cause('POD_ENDED', `It has ended: ${reason}${said}`, context.fresh, hint)];
}

/** No container has started, and none says why. */
function notStarted(context: PodContext): readonly Cause[] {
  const failure = mountFailure(context);
  if (failure !== undefined) {
    const missing = missingIn(failure.message, context);
    if (missing !== undefined) return [missing];
    const text = `A volume cannot be ${failure.reason === 'FailedAttachVolume' ? 'attached' : 'mounted'}: ${failure.message}`;
    const multi = /Multi-Attach/.test(failure.message);
    const hint = multi
      ? 'Another node still has the volume: it is detached some minutes after its pod is gone there.'
      : 'Look at the driver of the volume on that node.';
    return [context.cause('VOLUME_NOT_MOUNTED', text, multi || context.fresh, hint)];
  }
  const claims = claimCauses(context);
  if (claims.length > 0) return claims;
  const sandbox = context.events.latest(context.pod, /^FailedCreatePodSandBox$/);
  if (sandbox !== undefined) {
    const hint = 'Look at the network plugin and the container runtime of its node.';
    return [
      context.cause('SANDBOX_FAILED', `Its node cannot start it: ${sandbox.message}`, true, hint),
    ];
  }
  return [context.cause('STARTING', 'Its containers are being created', true)];
}

function readinessGate(context: PodContext): Cause {
  const { pod } = context;
  const waits = listAt(pod, 'spec', 'readinessGates').flatMap((one) => {
    const type = textAt(one, 'conditionType') ?? '';
    return textAt(condition(pod, type), 'status') === 'True' ? [] : [type];
  });
  if (waits.length > 0) {
    const text = `Its readiness gate ${waits.join(', ')} is not met`;
    return context.cause('READINESS_GATE', text, true, 'Whoever sets that condition must set it.');
  }
  const node = at(pod, 'spec', 'nodeName');
  const text = `Its containers are ready, and the kubelet of ${typeof node === 'string' ? node : 'its node'} has not said so yet`;
  return context.cause('NOT_READY', text, true);
}
