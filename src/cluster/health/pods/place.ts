import { at, listAt, namespaceOf, textAt } from '../../objects/kube-object.ts';
import { RESTORE } from '../../restore/names.ts';
import { redactLine } from '../../../lib/redact.ts';
import { condition } from '../controllers.ts';
import { GRACE_MS, GROW_MS } from '../scene.ts';
import type { Cause } from '../state.ts';
import type { PodContext } from './context.ts';

/** Gates that hold the pod back. Ours is no fault while a staged restore runs. */
export function gateCauses(context: PodContext): readonly Cause[] {
  const gates = listAt(context.pod, 'spec', 'schedulingGates').flatMap(
    (one) => textAt(one, 'name') ?? [],
  );
  const others = gates.filter((one) => one !== RESTORE.gate);
  const found = gates.length > others.length ? [ownGate(context)] : [];
  if (others.length === 0) return found;
  const text = `The scheduling gate ${others.join(', ')} holds it back`;
  const hint = 'Whoever has put it there must remove it.';
  return [...found, context.cause('GATED', text, true, hint)];
}

function ownGate(context: PodContext): Cause {
  const { catalog } = context.scene;
  const namespace = catalog.getGlobal('Namespace', namespaceOf(context.pod));
  const run = namespace?.metadata?.labels?.[RESTORE.run];
  if (run !== undefined) {
    const text = `It waits for its layer in the staged restore ${run}`;
    const hint = 'If that restore has ended, resume it, or release what it holds.';
    return context.cause('WAITS_FOR_LAYER', text, true, hint);
  }
  const unread = namespace === undefined;
  const text = unread
    ? 'The gate of a staged restore holds it back'
    : 'The gate of a staged restore holds it back, and none runs in its namespace';
  const hint = `Remove it: kubectl patch pod ${context.pod.metadata?.name ?? ''} --type=json -p '[{"op":"remove","path":"/spec/schedulingGates"}]'`;
  return context.cause('GATE_LEFT', text, unread, hint);
}

/** The claims of the pod that are missing, lost or not bound. One that waits for the pod itself is no fault. */
export function claimCauses(context: PodContext): readonly Cause[] {
  const { pod, scene, events } = context;
  const name = pod.metadata?.name ?? '';
  return listAt(pod, 'spec', 'volumes').flatMap((volume): readonly Cause[] => {
    const ephemeral = at(volume, 'ephemeral') !== undefined;
    const own = ephemeral ? `${name}-${textAt(volume, 'name') ?? ''}` : undefined;
    const claim = own ?? textAt(volume, 'persistentVolumeClaim', 'claimName');
    if (claim === undefined || !scene.catalog.sees('persistentvolumeclaims', namespaceOf(pod))) {
      return [];
    }
    const found = scene.catalog.get('PersistentVolumeClaim', namespaceOf(pod), claim);
    if (found === undefined) {
      const hint = 'Restore the claim, or correct its name; its StatefulSet makes it otherwise.';
      return [context.cause('CLAIM_MISSING', `There is no claim ${claim}`, context.fresh, hint)];
    }
    const phase = textAt(found, 'status', 'phase') ?? 'Pending';
    if (phase === 'Bound') return [];
    if (phase === 'Lost') {
      const hint = 'Its volume is gone: delete the claim, and restore it.';
      return [context.cause('CLAIM_LOST', `The claim ${claim} has lost its volume`, false, hint)];
    }
    const event = events.latest(found, /ProvisioningFailed|FailedBinding|ProvisioningCleanup/);
    const waits = events.latest(found, /ExternalProvisioning|^Provisioning$/);
    if (event === undefined && waits === undefined) return [];
    const said = event ?? waits;
    const storageClass = textAt(found, 'spec', 'storageClassName');
    const of = storageClass === undefined ? '' : ` of the class ${storageClass}`;
    const hint =
      event === undefined
        ? 'Look at the provisioner of its class: its pods, and their log.'
        : 'Correct what the provisioner names: the class, the snapshot that it is made from, the quota of the storage.';
    const passing = event === undefined || context.fresh;
    const text = `The claim ${claim}${of} is not bound: ${said?.message ?? ''}`;
    return [context.cause('CLAIM_PENDING', text, passing, hint)];
  });
}

const SCHEDULER_HINTS: readonly (readonly [words: RegExp, hint: string])[] = [
  [
    /volume node affinity conflict/,
    'Its volume is in another zone, or on another node, than those that have room: free one there.',
  ],
  [
    /Insufficient (?:cpu|memory|\S+)|Too many pods/,
    'Add a node, lower its requests, or stop what it competes with.',
  ],
  [/untolerated taint/, 'Give the pod a toleration, or remove the taint from a node.'],
  [
    /didn't match Pod's node affinity|didn't match (?:pod|node) selector|node selector/,
    'Label a node as the pod asks, or change its nodeSelector and affinity: labels are not restored with it.',
  ],
  [
    /anti-affinity|topology spread/,
    'Add nodes, or make the rule a preferred one: it asks for more nodes than there are.',
  ],
  [
    /unbound immediate PersistentVolumeClaims|available persistent volumes to bind|persistentvolumeclaim/i,
    'Look at its claims: kubectl describe pvc.',
  ],
  [/didn't have free ports/, 'A pod on each node has the port already: remove one of the two.'],
];

/** The pod has no node, and what the scheduler says of it. */
export function unscheduledCauses(context: PodContext): readonly Cause[] {
  const { pod, events } = context;
  if (textAt(pod, 'spec', 'nodeName') !== undefined) return [];
  const claims = claimCauses(context);
  const placed = condition(pod, 'PodScheduled');
  const said =
    textAt(placed, 'message') ?? events.latest(pod, /^FailedScheduling$/)?.message ?? undefined;
  if (said === undefined) {
    if (claims.length > 0) return claims;
    const text = 'No scheduler has looked at it yet';
    const name = textAt(pod, 'spec', 'schedulerName') ?? 'default-scheduler';
    return [context.cause('NOT_SCHEDULED', text, true, `Look at the scheduler ${name}.`)];
  }
  const hint = SCHEDULER_HINTS.find(([words]) => words.test(said))?.[1];
  const grows = events.latest(pod, /^TriggeredScaleUp$/) !== undefined;
  const passing = grows || context.ageMs < GROW_MS || claims.some((one) => one.passing);
  const text = `No node can run it: ${redactLine(said, 600)}`;
  return [...claims, context.cause('UNSCHEDULABLE', text, passing, hint)];
}

/** Volumes that are not attached or mounted, while no container has started. */
export function mountFailure(context: PodContext) {
  const found = context.events
    .of(context.pod)
    .filter(({ reason }) => /^Failed(?:Mount|AttachVolume|MapVolume)$/.test(reason));
  // "Unable to attach or mount volumes" only counts what the others name.
  return (
    found.find(({ message }) => !message.startsWith('Unable to attach or mount volumes')) ??
    found[0]
  );
}

/** The node of the pod, if it is not ready. */
export function nodeCauses(context: PodContext): readonly Cause[] {
  const name = textAt(context.pod, 'spec', 'nodeName');
  const node = name === undefined ? undefined : context.scene.catalog.getGlobal('Node', name);
  const lost = textAt(context.pod, 'status', 'reason') === 'NodeLost';
  const gone = node === undefined && context.scene.catalog.all('Node').length > 0;
  const ready = node === undefined ? undefined : condition(node, 'Ready');
  if (
    name === undefined ||
    (!lost && !gone && (node === undefined || textAt(ready, 'status') === 'True'))
  )
    return [];
  const why = gone
    ? 'does not exist any more'
    : `is not ready: ${textAt(ready, 'message') ?? 'no reason is given'}`;
  const hint = 'Look at that node. A pod of a StatefulSet moves only once it is deleted there.';
  return [context.cause('NODE_NOT_READY', `Its node ${name} ${why}`, true, hint)];
}

/** A pod that should have ended by now. */
export function endingCauses(context: PodContext): readonly Cause[] {
  const { pod, scene } = context;
  const since = Date.parse(pod.metadata?.deletionTimestamp ?? '');
  if (Number.isNaN(since)) return [];
  // The timestamp of the API server includes the grace period.
  const late = scene.catalog.now - since > GRACE_MS / 2;
  if (!late) return [context.cause('ENDING', 'It is being deleted', true)];
  const finalizers = listAt(pod, 'metadata', 'finalizers').filter((one) => typeof one === 'string');
  if (finalizers.length > 0) {
    const text = `It has been deleted, and the finalizer ${finalizers.join(', ')} keeps it`;
    return [
      context.cause(
        'STUCK_ENDING',
        text,
        false,
        'Its controller must remove it; if that is gone, remove it by hand.',
      ),
    ];
  }
  const node = nodeCauses(context);
  const text = 'It has been deleted, and its containers have not ended';
  const hint =
    'If its node is gone for good: kubectl delete pod --force. Never while it may still write to its volume.';
  return [...node, context.cause('STUCK_ENDING', text, true, hint)];
}
