import { at, type KubeObject, listAt, textAt } from '../objects/kube-object.ts';
import type { Events } from './events.ts';
import { causeOf } from './scene.ts';
import type { Cause } from './state.ts';

/** Why a controller is not ready, by its own status; none: its rules hold. */
export function controllerCauses(object: KubeObject, events: Events): readonly Cause[] {
  const behind = notObserved(object);
  if (behind !== undefined) return [behind];
  const rule = RULES[object.kind ?? ''];
  return rule === undefined ? [] : rule(object, events);
}

/** How many pods it is meant to have. */
export function wantedOf(object: KubeObject): number {
  if (object.kind === 'DaemonSet') return numberAt(object, 'status', 'desiredNumberScheduled') ?? 0;
  return numberAt(object, 'spec', 'replicas') ?? 1;
}

const RULES: Readonly<Record<string, (object: KubeObject, events: Events) => readonly Cause[]>> = {
  StatefulSet: statefulSet,
  Deployment: deployment,
  DaemonSet: daemonSet,
  ReplicaSet: replicaSet,
  ReplicationController: replicaSet,
};

export function numberAt(value: unknown, ...path: readonly string[]): number | undefined {
  const found = at(value, ...path);
  return typeof found === 'number' ? found : undefined;
}

function notObserved(object: KubeObject): Cause | undefined {
  const generation = numberAt(object, 'metadata', 'generation') ?? 0;
  const observed = numberAt(object, 'status', 'observedGeneration') ?? 0;
  if (observed >= generation) return undefined;
  return causeOf(object, 'NOT_OBSERVED', 'Its controller has not seen its latest change yet', {
    hint: 'If it stays so, look at the kube-controller-manager.',
    passing: true,
  });
}

function statefulSet(object: KubeObject, events: Events): readonly Cause[] {
  const wanted = wantedOf(object);
  const status = (field: string): number => numberAt(object, 'status', field) ?? 0;
  // An API server before 1.22 has no availableReplicas.
  const available = numberAt(object, 'status', 'availableReplicas') ?? status('readyReplicas');
  const found = fewer(object, events, wanted, status('replicas'), available);
  if (found.length > 0) return found;
  if (status('readyReplicas') < wanted) return [notReady(object, status('readyReplicas'), wanted)];
  if (status('replicas') > wanted) return [tooMany(object, status('replicas'), wanted)];
  const strategy = textAt(object, 'spec', 'updateStrategy', 'type') ?? 'RollingUpdate';
  if (strategy !== 'RollingUpdate') return [];
  const partition = numberAt(object, 'spec', 'updateStrategy', 'rollingUpdate', 'partition') ?? 0;
  const updated = status('updatedReplicas');
  const current = textAt(object, 'status', 'currentRevision');
  const update = textAt(object, 'status', 'updateRevision');
  if (current === update) return [];
  if (partition > 0 && updated >= Math.max(0, wanted - partition)) return [];
  return [
    causeOf(
      object,
      'ROLLOUT_UNDER_WAY',
      `${updated} of its ${wanted} pods have its latest template`,
      {
        hint: 'A pod that was not ready before the change blocks it: delete that pod.',
        passing: true,
      },
    ),
  ];
}

function deployment(object: KubeObject, events: Events): readonly Cause[] {
  const wanted = wantedOf(object);
  const status = (field: string): number => numberAt(object, 'status', field) ?? 0;
  const paused = at(object, 'spec', 'paused') === true;
  if (paused && status('updatedReplicas') < wanted) {
    return [
      causeOf(
        object,
        'ROLLOUT_PAUSED',
        'It is paused, and its latest template has not been rolled out',
        {
          hint: `kubectl rollout resume deployment/${object.metadata?.name ?? ''}`,
          passing: false,
        },
      ),
    ];
  }
  const stuck = condition(object, 'Progressing');
  const late =
    textAt(stuck, 'status') === 'False' && textAt(stuck, 'reason') === 'ProgressDeadlineExceeded'
      ? [
          causeOf(
            object,
            'ROLLOUT_STUCK',
            `Its rollout has not progressed within ${numberAt(object, 'spec', 'progressDeadlineSeconds') ?? 600} s`,
            { hint: 'Its pods say why.', passing: true },
          ),
        ]
      : [];
  const failed = replicaFailure(object);
  const found = fewer(object, events, wanted, status('replicas'), status('availableReplicas'));
  if (failed.length + found.length > 0) return [...failed, ...found, ...late];
  if (status('updatedReplicas') < wanted) {
    const text = `${status('updatedReplicas')} of its ${wanted} pods have its latest template`;
    return [causeOf(object, 'ROLLOUT_UNDER_WAY', text, { passing: true }), ...late];
  }
  if (status('replicas') > wanted) return [tooMany(object, status('replicas'), wanted), ...late];
  return late;
}

function daemonSet(object: KubeObject, events: Events): readonly Cause[] {
  const status = (field: string): number => numberAt(object, 'status', field) ?? 0;
  const wanted = wantedOf(object);
  // Without a status, its controller has not counted the nodes.
  if (at(object, 'status') === undefined) {
    return [
      causeOf(object, 'NOT_OBSERVED', 'Its controller has not seen it yet', { passing: true }),
    ];
  }
  const scheduled = status('currentNumberScheduled');
  const available = numberAt(object, 'status', 'numberAvailable') ?? 0;
  const found = fewer(object, events, wanted, scheduled, available);
  if (found.length > 0) return found;
  const rolls = textAt(object, 'spec', 'updateStrategy', 'type') !== 'OnDelete';
  const updated = status('updatedNumberScheduled');
  if (!rolls || updated >= wanted) return [];
  const text = `${updated} of its ${wanted} pods have its latest template`;
  return [causeOf(object, 'ROLLOUT_UNDER_WAY', text, { passing: true })];
}

function replicaSet(object: KubeObject, events: Events): readonly Cause[] {
  const status = (field: string): number => numberAt(object, 'status', field) ?? 0;
  const failed = replicaFailure(object);
  const available = status('availableReplicas');
  return [...failed, ...fewer(object, events, wantedOf(object), status('replicas'), available)];
}

function fewer(
  object: KubeObject,
  events: Events,
  wanted: number,
  made: number,
  available: number,
): readonly Cause[] {
  if (made < wanted) {
    const event = events.latest(object, /^FailedCreate$/);
    if (event !== undefined) return [refusal(object, event.message)];
    const text = `${made} of its ${wanted} pods have been created`;
    return [causeOf(object, 'PODS_MISSING', text, { passing: true })];
  }
  return available < wanted ? [notReady(object, available, wanted)] : [];
}

/** What the API server answered when the controller wanted to create a pod. */
export function refusal(object: KubeObject, message: string): Cause {
  const said = message.replace(/^create Pod \S+ in \S+ \S+ failed error: |^Error creating: /, '');
  const name = object.metadata?.name ?? '';
  const [code, passing, hint] = kindOfRefusal(said);
  return causeOf(object, code, `The API server refuses the pods of ${name}: ${said}`, {
    hint,
    passing,
  });
}

function kindOfRefusal(said: string): readonly [code: string, passing: boolean, hint: string] {
  if (/exceeded quota|must specify .* quota|failed quota/.test(said)) {
    const hint = 'Raise the ResourceQuota of the namespace, or remove what uses it up.';
    // What ends, such as a Job, gives its share back; a pod that names no resources never fits.
    return ['QUOTA_EXCEEDED', !/must specify/.test(said), hint];
  }
  if (/violates PodSecurity/.test(said)) {
    const hint =
      'Change the pod, or the label pod-security.kubernetes.io/enforce of the namespace.';
    return ['POD_SECURITY', false, hint];
  }
  if (/failed calling webhook/.test(said)) {
    return ['WEBHOOK_DOWN', true, 'Look at the pods of that webhook, and at its Service.'];
  }
  if (/error looking up service account|serviceaccount "[^"]*" not found/.test(said)) {
    return ['SERVICE_ACCOUNT_MISSING', true, 'Create the ServiceAccount, or restore it, too.'];
  }
  if (/(?:maximum|minimum) \S+ (?:usage|limit)|LimitRange|limit to request ratio/i.test(said)) {
    return ['LIMIT_EXCEEDED', false, 'Change the LimitRange of the namespace, or the resources.'];
  }
  if (/no PriorityClass with name/.test(said)) {
    return ['PRIORITY_CLASS_MISSING', false, 'Create that PriorityClass in this cluster.'];
  }
  if (/denied the request|admission webhook/.test(said)) {
    return ['ADMISSION_DENIED', false, 'Change the pod, or the policy that refuses it.'];
  }
  return ['POD_REFUSED', !/is invalid|forbidden/.test(said), 'Change what the API server names.'];
}

function replicaFailure(object: KubeObject): readonly Cause[] {
  const found = condition(object, 'ReplicaFailure');
  if (textAt(found, 'status') !== 'True') return [];
  return [refusal(object, textAt(found, 'message') ?? 'no reason is given')];
}

export function condition(object: KubeObject, type: string): unknown {
  return listAt(object, 'status', 'conditions').find((one) => textAt(one, 'type') === type);
}

function notReady(object: KubeObject, ready: number, wanted: number): Cause {
  const text = `${ready} of its ${wanted} pods are ready`;
  return causeOf(object, 'PODS_NOT_READY', text, { passing: true });
}

function tooMany(object: KubeObject, found: number, wanted: number): Cause {
  const text = `It has ${found} pods and wants ${wanted}: the others have not ended yet`;
  return causeOf(object, 'PODS_LEFT', text, { passing: true });
}
