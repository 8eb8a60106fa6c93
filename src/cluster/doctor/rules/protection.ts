import { ANNOTATIONS, CONTAINER, INJECT_LABEL } from '../../objects/names.ts';
import { hookKey } from '../../inject/hooks.ts';
import { inject } from '../../inject/inject.ts';
import type { PodFacts } from '../../inventory/pod-facts.ts';
import { keysOf } from '../../objects/json-patch.ts';
import { concernsSidecar } from '../../inject/unknown.ts';
import { annotationsOf, labelsOf, listAt, textAt } from '../../inventory/catalog.ts';
import type { PodRule } from '../rule.ts';

const LABEL = `${INJECT_LABEL}: "true"`;
/** Is protection of this pod asked for, or given, in any way? */
function isMeant({ optIn, sidecar, native, annotations }: PodFacts): boolean {
  return (
    optIn !== undefined ||
    sidecar !== undefined ||
    native !== undefined ||
    Object.keys(annotations).some(concernsSidecar)
  );
}

function isMisplaced({ workload, optIn }: PodFacts): boolean {
  const elsewhere =
    workload.kind !== 'Pod' && labelsOf(workload.object)[INJECT_LABEL] !== undefined;
  return optIn === undefined && elsewhere;
}

function whereToLabel({ workload }: PodFacts): string {
  const { operator, kind } = workload;
  if (operator !== undefined) {
    return `Give its pods the label ${LABEL} through ${operator}, from which the operator makes them (CloudNativePG: spec.inheritedMetadata.labels), or ${INJECT_LABEL}: "false" to leave it out on purpose.`;
  }
  const place = kind === 'Pod' ? 'the pod' : 'the pod template';
  return `Put the label ${LABEL} on ${place}, or ${INJECT_LABEL}: "false" to leave it out on purpose.`;
}

function volumesText(volumes: readonly string[]): string {
  return `${volumes.length === 1 ? 'volume' : 'volumes'} ${volumes.join(', ')}`;
}

/** A database that nobody has said anything about. */
function isForgotten(facts: PodFacts): boolean {
  const said = facts.unfrozen || isMeant(facts) || isMisplaced(facts);
  return keptOn(facts).length > 0 && !said;
}

/** The volumes with a life of their own, were it only a folder of the node. */
function keptOn({ persistent, data }: PodFacts): readonly string[] {
  return persistent.length === 0 && data?.onHost === true ? [data.volume] : persistent;
}

/** The tag and the digest: a mirror of the image is the same image. */
function versionOf(image: string | undefined): string {
  return (
    (image ?? '')
      .split('/')
      .at(-1)
      ?.replace(/^[^:@]*/, '') ?? ''
  );
}

/** Of how an image is pulled and what a container may use nothing depends that is promised here. */
function matters(keys: readonly string[]): boolean {
  return !keys.some((key) =>
    ['image', 'imagePullPolicy', 'resources', ANNOTATIONS.written].includes(key),
  );
}

export const protectionRules: readonly PodRule[] = [
  {
    code: 'UNPROTECTED',
    severity: 'error',
    title: 'A database with volumes that nothing freezes',
    why: 'A copy of its volumes is at best crash-consistent, and nobody proves even that.',
    fix: `Put the label ${LABEL} on the pod template; "false" leaves the workload out on purpose.`,
    *check(facts) {
      if (!isForgotten(facts) || !facts.resembles) return;
      const hooks = facts.annotations[hookKey('pre', 'command')] !== undefined;
      const engine = facts.database?.profile.name ?? 'a database';
      const own = hooks ? ' Its Velero hooks are no calls of quiesce, and prove nothing.' : '';
      const message = `It runs ${engine} on the ${volumesText(keptOn(facts))}, and no sidecar freezes it for a backup.${own}`;
      yield { message, fix: whereToLabel(facts) };
    },
  },
  {
    code: 'ENGINE_UNKNOWN',
    severity: 'info',
    title: 'A StatefulSet or an operator’s pod with volumes, of no engine that quiesce knows',
    why: 'quiesce cannot freeze it. If it keeps data, its backup is crash-consistent.',
    fix: `Back it up by its own means. If it is a database that quiesce knows under another name, set ${ANNOTATIONS.engine}; ${INJECT_LABEL}: "false" says that you know.`,
    *check(facts) {
      const { workload, resembles, annotations } = facts;
      const kept = workload.kind === 'StatefulSet' || workload.operator !== undefined;
      const handled = annotations[hookKey('pre', 'command')] !== undefined;
      if (!isForgotten(facts) || resembles || !kept || handled) return;
      yield `It has the ${volumesText(keptOn(facts))}, and neither images nor ports tell an engine that quiesce knows.`;
    },
  },
  {
    code: 'LABEL_MISSING',
    severity: 'error',
    title: 'Annotations of quiesce without its label',
    why: 'The webhook is called for pods with the label only: the annotations do nothing.',
    fix: `Put the label ${LABEL} on the pod template.`,
    *check(facts) {
      const { optIn, sidecar, native, annotations } = facts;
      if (optIn !== undefined || sidecar !== undefined || native !== undefined) return;
      if (isMisplaced(facts) || !isMeant(facts)) return;
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
    title: 'The label stands where the webhook does not see it',
    why: 'The webhook sees labels of pods. On the StatefulSet itself, or as an annotation, it does nothing.',
    fix: `Move ${LABEL} to spec.template.metadata.labels.`,
    *check(facts) {
      const { workload, optIn, annotations } = facts;
      if (optIn !== undefined) return;
      if (isMisplaced(facts)) {
        yield `The label ${INJECT_LABEL} is on the ${workload.kind} itself, not on its pod template.`;
      } else if (annotations[INJECT_LABEL] !== undefined) {
        yield `${INJECT_LABEL} is an annotation of its pods, and must be a label.`;
      } else if (annotationsOf(workload.object)[INJECT_LABEL] !== undefined) {
        yield `${INJECT_LABEL} is an annotation of the ${workload.kind}, and must be a label of its pod template.`;
      }
    },
  },
  {
    code: 'LABEL_VALUE',
    severity: 'error',
    title: 'The label has a value that is neither "true" nor "false"',
    why: 'The webhook is called for "true" alone.',
    fix: `Write ${LABEL}, in quotes: YAML makes a boolean of a bare true, which is no label.`,
    *check({ optIn }) {
      if (optIn === undefined || optIn === 'true' || optIn === 'false') return;
      yield `The label ${INJECT_LABEL} is ${JSON.stringify(optIn)}.`;
    },
  },
  {
    code: 'NOT_INJECTABLE',
    severity: 'error',
    title: 'A pod with the label that cannot have a sidecar',
    why: 'Opted in, and yet unprotected.',
    fix: 'Remove the label, or what stands in the way.',
    *check({ injection, native }) {
      if (injection?.outcome === 'skipped' && native === undefined) yield injection.message;
    },
  },
  {
    code: 'NATIVE_SIDECAR',
    severity: 'error',
    title: 'The sidecar is an init container',
    why: 'Velero cannot run backup hooks in init containers, nor in native sidecars (restartPolicy: Always): the freeze never happens.',
    fix: `Make it a plain container under spec.containers, last in the list; the webhook does.`,
    *check({ native }) {
      if (native === undefined) return;
      const kind = native.restartPolicy === 'Always' ? 'a native sidecar' : 'an init container';
      yield `The container ${native.name} is ${kind} (spec.initContainers), where Velero can run no hook.`;
    },
  },
  {
    code: 'SIDECAR_MISSING',
    severity: 'error',
    title: 'A running pod with the label and without the sidecar',
    why: 'It was created before the label was there, or while the webhook was not.',
    fix: 'See that the webhook runs, then create the pods anew: kubectl rollout restart.',
    *check({ view, injection }) {
      if (view.live === undefined || injection?.outcome !== 'injected') return;
      yield `It has the label ${INJECT_LABEL}, but runs without the container ${CONTAINER}.`;
    },
  },
  {
    code: 'SIDECAR_NOT_RUNNING',
    severity: 'error',
    title: 'The sidecar does not run',
    why: 'Hooks cannot run in it, so every backup of this pod fails or proves nothing.',
    fix: 'Look at it: kubectl describe pod, and kubectl logs -c quiesce --previous.',
    *check({ sidecar, pod }) {
      const all = listAt(pod, 'status', 'containerStatuses');
      const own = all.find((one) => textAt(one, 'name') === sidecar?.name);
      const reason = textAt(own, 'state', 'waiting', 'reason');
      const ended = textAt(own, 'state', 'terminated', 'reason');
      const stuck = reason !== undefined && !/^(?:ContainerCreating|PodInitializing)$/.test(reason);
      if (stuck || ended !== undefined)
        yield `Its container ${sidecar?.name} is in ${reason ?? ended}.`;
    },
  },
  {
    code: 'SIDECAR_OUTDATED',
    severity: 'warning',
    title: 'The sidecar is not what the webhook would add today',
    why: 'It was added by another version or with other settings; what has been changed since does not reach it.',
    fix: 'Create the pods anew: kubectl rollout restart.',
    *check({ view, pod, annotations, sidecar, optIn }, { webhooks, config }) {
      const known = webhooks.some(({ options }) => options !== undefined);
      const injected = annotations[ANNOTATIONS.written] !== undefined;
      if (!known || !injected || view.live === undefined || optIn !== 'true') return;
      if (versionOf(sidecar?.image) !== versionOf(config.image)) {
        yield `Its sidecar runs ${sidecar?.image}, and the webhook adds ${config.image}.`;
        return;
      }
      const today = inject(pod, config);
      if (today.outcome !== 'injected' || today.patch.length === 0) return;
      const paths = today.patch.map(({ path }) => keysOf(path)).filter(matters);
      const shown = [...new Set(paths.map((keys) => keys.at(-1)))].slice(0, 3).join(', ');
      if (paths.length > 0) yield `The webhook would change ${shown} of it.`;
    },
  },
];
