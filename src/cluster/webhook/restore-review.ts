import { decide, type Decision, type GateState } from '../gates/decide.ts';
import { RESTORE } from '../restore/names.ts';
import type { Notice } from '../inject/inject.ts';
import { diff } from '../objects/json-patch.ts';
import { RESTORE_ANNOTATION, RESTORE_LABEL } from '../objects/names.ts';
import type { Pod } from '../objects/pod.ts';
import {
  type AdmissionAnswer,
  answerTo,
  encodePatch,
  type ReviewRequest,
  warning,
} from './review.ts';

export interface GateOutcome {
  readonly answer: AdmissionAnswer;
  readonly result: Decision['outcome'];
  /** Empty on a dry run. */
  readonly events: readonly Notice[];
}

/** Answers one review of a pod in a namespace that a staged restore fills. A pure function. */
export function answerGate(request: ReviewRequest, state: GateState): GateOutcome {
  const { pod, createsPod, dryRun } = request;
  if (!createsPod) return outcome(request, 'passed', { allowed: true });
  const decision = decide(pod, state, dryRun);
  switch (decision.outcome) {
    case 'passed': {
      const { of } = decision;
      const patched = of === undefined ? {} : change(pod, ofRun(pod, of));
      return outcome(request, 'passed', { allowed: true, ...patched });
    }
    case 'unclear':
      return outcome(request, 'unclear', refusal(decision.run));
    case 'abandoned': {
      const notice = abandoned(decision.run);
      const response = {
        allowed: true,
        warnings: [warning(notice)],
        ...change(pod, ofRun(pod, decision.run)),
      };
      return { ...outcome(request, 'abandoned', response), events: dryRun ? [] : [notice] };
    }
    default: {
      const { run } = decision;
      const waiting = decision.outcome === 'held' ? held(pod, run) : gated(pod);
      const patched = change(pod, ofRun(waiting, run));
      return outcome(request, decision.outcome, { allowed: true, ...patched });
    }
  }
}

function outcome(
  request: ReviewRequest,
  result: Decision['outcome'],
  response: Parameters<typeof answerTo>[1],
): GateOutcome {
  return { answer: answerTo(request, response), result, events: [] };
}

function change(pod: Pod, changed: Pod): ReturnType<typeof encodePatch> | object {
  const patch = diff(pod, changed);
  return patch.length === 0 ? {} : encodePatch(patch);
}

/**
 * Velero labels the pods that it creates. A pod that its controller creates is told here that its volumes
 * are restored ones, so that its init container and its sidecar judge them; no template changes for it.
 */
function ofRun(pod: Pod, run: string): Pod {
  const { labels, annotations } = pod.metadata ?? {};
  if (labels?.[RESTORE_LABEL] !== undefined) return pod;
  const marked = { ...annotations, [RESTORE_ANNOTATION]: run };
  return { ...pod, metadata: { ...pod.metadata, annotations: marked } };
}

function gated(pod: Pod): Pod {
  const gates = (pod.spec?.schedulingGates ?? []).filter(({ name }) => name !== RESTORE.gate);
  const schedulingGates = [...gates, { name: RESTORE.gate }];
  return { ...pod, spec: { ...pod.spec, schedulingGates } };
}

/** The injection, which sees the pod again, gives it the init container that waits. */
function held(pod: Pod, run: string): Pod {
  const annotations = { ...pod.metadata?.annotations, [RESTORE.hold]: run };
  return { ...pod, metadata: { ...pod.metadata, annotations } };
}

function refusal(run: string) {
  const message = `quiesce: the annotation ${RESTORE.stages} of the namespace cannot be read, so nobody knows whether this pod has to wait for others in the restore ${run}; quiesce restore --resume ${run} writes it anew`;
  return { allowed: false, status: { code: 503, message } };
}

function abandoned(run: string): Notice {
  return {
    code: 'RestoreAbandoned',
    message: `the pod does not wait for its turn, because the restore ${run} gives no sign of life: go on with quiesce restore --resume ${run}, or end it with --release ${run}`,
  };
}
