import { ANNOTATIONS, CONTAINER, INJECT_LABEL } from '../../objects/names.ts';
import { hookKey } from '../../inject/hooks.ts';
import { inject } from '../../inject/inject.ts';
import type { PodFacts } from '../../inventory/pod-facts.ts';
import { keysOf } from '../../objects/json-patch.ts';
import { concernsSidecar } from '../../inject/unknown.ts';
import { annotationsOf, listAt, textAt } from '../../objects/kube-object.ts';
import { knownPod } from '../../plan/stages.ts';
import type { Workload } from '../../inventory/workloads.ts';
import { isDecided, isMeantToBeProtected, isMisplaced } from '../decided.ts';
import type { PodRule } from '../rule.ts';

const LABEL = `${INJECT_LABEL}: "true"`;

function whereToLabel({ workload }: PodFacts): string {
  const { operator, kind } = workload;
  if (operator !== undefined) {
    return `Give its pods the label ${LABEL} through ${operator}, from which the operator creates them (CloudNativePG: spec.inheritedMetadata.labels), or ${INJECT_LABEL}: "false" to exclude it on purpose.`;
  }
  const place = kind === 'Pod' ? 'the pod' : 'the pod template';
  return `Put the label ${LABEL} on ${place}, or ${INJECT_LABEL}: "false" to exclude it on purpose.`;
}

function volumesText(volumes: readonly string[]): string {
  return `${volumes.length === 1 ? 'volume' : 'volumes'} ${volumes.join(', ')}`;
}

/** Whether the pod has persistent volumes, and nothing protects it or excludes it on purpose. */
function isForgotten(facts: PodFacts): boolean {
  return lastingVolumes(facts).length > 0 && !isDecided(facts);
}

/** The volumes that outlive the pod. A hostPath counts if there is no other. */
function lastingVolumes({ persistent, data }: PodFacts): readonly string[] {
  return persistent.length === 0 && data?.onHost === true ? [data.volume] : persistent;
}

/** The tag and the digest, without the registry: a mirror serves the same image. */
function versionOf(image: string | undefined): string {
  return (
    (image ?? '')
      .split('/')
      .at(-1)
      ?.replace(/^[^:@]*/, '') ?? ''
  );
}

/** Whether a change to this path affects backups. Image pulling and resources do not. */
function affectsBackups(keys: readonly string[]): boolean {
  return !keys.some((key) =>
    ['image', 'imagePullPolicy', 'resources', ANNOTATIONS.written].includes(key),
  );
}

/** How new pods come into being: by a rollout, by the operator, or by hand. */
function howToRecreate({ kind, namespace, name, operator }: Workload): string {
  if (operator !== undefined) return `let ${operator} recreate the pods (docs of the operator).`;
  if (/^(?:StatefulSet|Deployment|DaemonSet)$/.test(kind)) {
    return `recreate the pods: kubectl -n ${namespace} rollout restart ${kind.toLowerCase()} ${name}.`;
  }
  return `recreate the ${kind === 'Pod' ? 'pod' : 'pods'}: nothing restarts ${kind === 'Pod' ? 'it' : 'them'} by itself.`;
}

function capital(text: string): string {
  return text.charAt(0).toUpperCase() + text.slice(1);
}

export const protectionRules: readonly PodRule[] = [
  {
    code: 'UNPROTECTED',
    severity: 'error',
    title: 'Nothing freezes a database with volumes',
    why: 'A copy of its volumes is at best crash-consistent, and even that is not proven.',
    fix: `Put the label ${LABEL} on the pod template; "false" excludes the workload on purpose.`,
    *check(facts) {
      if (!isForgotten(facts) || !facts.resembles) return;
      const hooks = facts.annotations[hookKey('pre', 'command')] !== undefined;
      const engine = facts.database?.profile.name ?? 'a database';
      const own = hooks ? ' Its Velero hooks do not call quiesce, and prove nothing.' : '';
      const message = `It runs ${engine} on the ${volumesText(lastingVolumes(facts))}, but no sidecar freezes it for a backup.${own}`;
      yield { message, fix: whereToLabel(facts) };
    },
  },
  {
    code: 'ENGINE_UNKNOWN',
    severity: 'info',
    title: 'A workload has volumes, but no engine that quiesce knows',
    why: 'quiesce cannot freeze it. If it keeps data, its backup is crash-consistent.',
    fix: `Back it up with the tools of its own engine. If it is a database that quiesce knows, set ${ANNOTATIONS.engine}. To silence this finding, set ${INJECT_LABEL}: "false".`,
    *check(facts) {
      const { workload, resembles, annotations, view } = facts;
      if (!isForgotten(facts) || resembles) return;
      const volumes = volumesText(lastingVolumes(facts));
      if (annotations[hookKey('pre', 'command')] !== undefined) return;
      const known = knownPod(view.pod);
      if (known !== undefined && known.stage !== 'pooler') {
        const message = `It runs ${known.engine} on the ${volumes}, an engine that quiesce does not know.`;
        const fix = `Back it up with the tools of ${known.engine}. To silence this finding, set ${INJECT_LABEL}: "false".`;
        yield { message, fix };
        return;
      }
      const stateful = workload.kind === 'StatefulSet' || workload.operator !== undefined;
      if (!stateful) return;
      yield `It has the ${volumes}, but neither its images nor its ports show an engine that quiesce knows.`;
    },
  },
  {
    code: 'LABEL_MISSING',
    severity: 'error',
    title: 'A pod has annotations of quiesce, but not its label',
    why: 'The webhook is called only for pods with the label: the annotations have no effect.',
    fix: `Put the label ${LABEL} on the pod template.`,
    *check(facts) {
      const { optIn, sidecar, native, annotations } = facts;
      if (optIn !== undefined || sidecar !== undefined || native !== undefined) return;
      if (isMisplaced(facts) || !isMeantToBeProtected(facts)) return;
      const keys = Object.keys(annotations).filter(concernsSidecar).join(', ');
      yield {
        message: `It has ${keys}, but not the label that opts in.`,
        fix: whereToLabel(facts),
      };
    },
  },
  {
    code: 'LABEL_MISPLACED',
    severity: 'error',
    title: 'The label is where the webhook does not see it',
    why: 'The webhook sees only labels of pods. A label of the StatefulSet itself, or an annotation, has no effect.',
    fix: `Move ${LABEL} to spec.template.metadata.labels.`,
    *check(facts) {
      const { workload, optIn, annotations } = facts;
      if (optIn !== undefined) return;
      if (isMisplaced(facts)) {
        yield `The label ${INJECT_LABEL} is on the ${workload.kind} itself, not on its pod template.`;
      } else if (annotations[INJECT_LABEL] !== undefined) {
        yield `${INJECT_LABEL} is an annotation of its pods, but must be a label.`;
      } else if (annotationsOf(workload.object)[INJECT_LABEL] !== undefined) {
        yield `${INJECT_LABEL} is an annotation of the ${workload.kind}, but must be a label of its pod template.`;
      }
    },
  },
  {
    code: 'LABEL_VALUE',
    severity: 'error',
    title: 'The value of the label is neither "true" nor "false"',
    why: 'The webhook is called only for "true".',
    fix: `Write ${LABEL}, with quotes: YAML reads a bare true as a boolean, which is not a valid label.`,
    *check({ optIn }) {
      if (optIn === undefined || optIn === 'true' || optIn === 'false') return;
      yield `The label ${INJECT_LABEL} is ${JSON.stringify(optIn)}.`;
    },
  },
  {
    code: 'NOT_INJECTABLE',
    severity: 'error',
    title: 'A pod with the label cannot get a sidecar',
    why: 'Its owner has opted in, but the pod stays unprotected.',
    fix: 'Remove the label, or the obstacle.',
    *check({ injection, native }) {
      if (injection?.outcome === 'skipped' && native === undefined) yield injection.message;
    },
  },
  {
    code: 'NATIVE_SIDECAR',
    severity: 'error',
    title: 'The sidecar is an init container',
    why: 'Velero cannot run backup hooks in init containers or native sidecars (restartPolicy: Always): the freeze never happens.',
    fix: 'Make it a plain container, last in spec.containers, as the webhook does.',
    *check({ native }) {
      if (native === undefined) return;
      const kind = native.restartPolicy === 'Always' ? 'a native sidecar' : 'an init container';
      yield `The container ${native.name} is ${kind} (spec.initContainers), in which Velero cannot run hooks.`;
    },
  },
  {
    code: 'SIDECAR_MISSING',
    severity: 'error',
    title: 'A running pod has the label, but no sidecar',
    why: 'It was created before it had the label, or while the webhook was unavailable.',
    fix: 'Make sure that the webhook runs, then recreate the pods: kubectl rollout restart.',
    *check({ view, injection, workload }) {
      if (view.live === undefined || injection?.outcome !== 'injected') return;
      const message = `It has the label ${INJECT_LABEL}, but runs without the container ${CONTAINER}.`;
      yield { message, fix: `Make sure that the webhook runs, then ${howToRecreate(workload)}` };
    },
  },
  {
    code: 'SIDECAR_NOT_RUNNING',
    severity: 'error',
    title: 'The sidecar does not run',
    why: 'Hooks cannot run in it, so every backup of this pod fails or proves nothing.',
    fix: 'Find the cause with kubectl describe pod, and kubectl logs -c quiesce --previous.',
    *check({ sidecar, pod, workload, view }) {
      const all = listAt(pod, 'status', 'containerStatuses');
      const own = all.find((one) => textAt(one, 'name') === sidecar?.name);
      const reason = textAt(own, 'state', 'waiting', 'reason');
      const ended = textAt(own, 'state', 'terminated', 'reason');
      const stuck = reason !== undefined && !/^(?:ContainerCreating|PodInitializing)$/.test(reason);
      if (!stuck && ended === undefined) return;
      const place = `-n ${workload.namespace}`;
      yield {
        message: `Its container ${sidecar?.name} is in ${reason ?? ended}.`,
        fix: `Find the cause with kubectl ${place} describe pod ${view.live}, and kubectl ${place} logs ${view.live} -c ${sidecar?.name} --previous.`,
      };
    },
  },
  {
    code: 'SIDECAR_OUTDATED',
    severity: 'warning',
    title: 'The sidecar differs from the one that the webhook would add now',
    why: 'It was added by another version or with other settings, and later changes do not apply to it.',
    fix: 'Recreate the pods: kubectl rollout restart.',
    *check({ view, pod, annotations, sidecar, optIn, rules, workload }, { webhooks, config }) {
      const known = webhooks.some(({ options }) => options !== undefined);
      const injected = annotations[ANNOTATIONS.written] !== undefined;
      if (!known || !injected || view.live === undefined || optIn !== 'true') return;
      if (versionOf(sidecar?.image) !== versionOf(config.image)) {
        const message = `Its sidecar runs ${sidecar?.image}, but the webhook adds ${config.image}.`;
        yield { message, fix: capital(howToRecreate(workload)) };
        return;
      }
      const today = inject(pod, config, rules);
      if (today.outcome !== 'injected' || today.patch.length === 0) return;
      const paths = today.patch
        .map(({ path }) => keysOf(path))
        // RESTORE_SKIPPED reports a missing init container.
        .filter((keys) => affectsBackups(keys) && !keys.includes('initContainers'));
      const shown = [...new Set(paths.map((keys) => keys.at(-1)))].slice(0, 3).join(', ');
      if (paths.length === 0) return;
      const message = `The webhook would now set ${shown} differently.`;
      yield { message, fix: capital(howToRecreate(workload)) };
    },
  },
];
