import { redactLine } from '../../lib/redact.ts';
import { annotationsOf, at, type KubeObject, textAt } from '../objects/kube-object.ts';
import { condition, numberAt } from './controllers.ts';
import { countsOf, phaseOf, readyConditionOf } from './phases.ts';
import { ageMs, causeOf, GRACE_MS } from './scene.ts';
import type { Cause } from './state.ts';

/** Conditions that say that something is wrong while they are True. */
const BAD = ['Stalled', 'Degraded', 'HasErrors', 'ReconcileError', 'NotReady'];
const PAUSED: readonly (readonly [key: string, value: string])[] = [
  ['cnpg.io/reconciliationLoop', 'disabled'],
  ['strimzi.io/pause-reconciliation', 'true'],
  ['rabbitmq.com/pauseReconciliation', 'true'],
  ['k8ssandra.io/pause', 'true'],
];

/** What a custom resource says of itself. */
export interface ResourceSaid {
  readonly causes: readonly Cause[];
  /** Whether it says at all how it stands: otherwise only its pods tell. */
  readonly judged: boolean;
}

/** Whether its user has it at no pods at all. */
export function isAtZero(object: KubeObject): boolean {
  if (annotationsOf(object)['cnpg.io/hibernation'] === 'on') return true;
  const counts = ['replicas', 'instances', 'size', 'clusterSize', 'members'].map((field) =>
    at(object, 'spec', field),
  );
  return counts.some((one) => one === 0) || at(object, 'spec', 'pause') === true;
}

/** Judges a custom resource by its conditions, or the field in which its kind says how it stands. */
export function resourceCauses(object: KubeObject, hasPods: boolean, now: number): ResourceSaid {
  if (isAtZero(object)) return { causes: [], judged: true };
  const status = at(object, 'status');
  const empty = typeof status !== 'object' || status === null || Object.keys(status).length === 0;
  const ready = readyConditionOf(object);
  const phase = phaseOf(object);
  // Some operators never write a status: then the pods tell.
  if (empty && (phase !== undefined || (!hasPods && isFresh(object, now)))) {
    return { causes: [untouched(object, now)], judged: true };
  }
  const bad = BAD.map((type) => condition(object, type)).find(
    (one) => textAt(one, 'status') === 'True',
  );
  if (bad !== undefined) return { causes: [says(object, bad)], judged: true };
  const behind = notObserved(object, ready);
  if (behind !== undefined) return { causes: [behind], judged: true };
  const short = countsOf(object).find((one) => one.ready < one.wanted);
  if (short !== undefined) {
    const text = `${short.ready} of its ${short.wanted} instances are ready`;
    return {
      causes: [causeOf(object, 'RESOURCE_NOT_READY', text, { passing: true })],
      judged: true,
    };
  }
  if (phase !== undefined && !phase.good) {
    const words = phase.said === '' ? 'says nothing of its state yet' : `is ${phase.said}`;
    return { causes: [not(object, `It ${words}`, ready)], judged: true };
  }
  if (ready !== undefined) {
    const good = textAt(ready, 'status') === 'True';
    return { causes: good ? [] : [says(object, ready)], judged: true };
  }
  return { causes: [], judged: phase !== undefined || countsOf(object).length > 0 };
}

function isFresh(object: KubeObject, now: number): boolean {
  return ageMs(object, now) < GRACE_MS;
}

function untouched(object: KubeObject, now: number): Cause {
  const paused = PAUSED.some(([key, value]) => annotationsOf(object)[key] === value);
  const text = paused
    ? 'Its operator is told to leave it alone (an annotation pauses it)'
    : 'No operator has looked at it yet';
  const hint = paused
    ? 'Remove that annotation.'
    : 'Look whether its operator runs, and watches this namespace.';
  return causeOf(object, 'OPERATOR_SILENT', text, {
    hint,
    passing: !paused || isFresh(object, now),
  });
}

function notObserved(object: KubeObject, ready: unknown): Cause | undefined {
  const generation = numberAt(object, 'metadata', 'generation');
  const observed =
    numberAt(ready, 'observedGeneration') ?? numberAt(object, 'status', 'observedGeneration');
  if (generation === undefined || observed === undefined || observed >= generation)
    return undefined;
  return causeOf(object, 'NOT_OBSERVED', 'Its operator has not seen its latest change yet', {
    hint: 'Look whether its operator runs.',
    passing: true,
  });
}

/** In the words of the condition. */
function says(object: KubeObject, found: unknown): Cause {
  const type = textAt(found, 'type') ?? '';
  const status = textAt(found, 'status') ?? 'Unknown';
  return not(object, `Its condition ${type} is ${status}`, found);
}

function not(object: KubeObject, text: string, found: unknown): Cause {
  const reason = textAt(found, 'reason') ?? '';
  const message = redactLine(
    textAt(found, 'message') ?? textAt(object, 'status', 'phaseReason') ?? '',
  );
  const more = [reason, message].filter((one) => one !== '').join(': ');
  return causeOf(object, 'RESOURCE_NOT_READY', more === '' ? text : `${text} (${more})`, {
    hint: 'Its operator reconciles it: see its events and the log of the operator.',
    passing: true,
  });
}
