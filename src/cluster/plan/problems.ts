import { INJECT_LABEL } from '../objects/names.ts';
import type { Catalog } from '../inventory/catalog.ts';
import { labelsOf, type ObjectRef, refText } from '../objects/kube-object.ts';
import { backedUp, type PlanProblem } from './document.ts';
import { textOf } from './edges.ts';
import { majorityProblems } from './majority.ts';
import type { Draft } from './member.ts';

/** What is in the way of a member: bad annotations, claims that nothing freezes. */
export function memberProblems(member: Draft): readonly PlanProblem[] {
  const object = textOf(member);
  const annotations = member.annotationProblems.map(({ code, message }): PlanProblem => ({
    code,
    severity: 'warning',
    object,
    message,
    fix:
      code === 'ANNOTATION_IGNORED'
        ? 'Correct or remove the annotation; docs/webhook.md lists them with their values.'
        : 'Remove one of the two annotations, or give both the same value.',
  }));
  if (member.protection === 'missing') return [...annotations, unprotected(member)];
  if (member.protection === 'sidecar') return [...annotations, ...majorityProblems(member)];
  const unseen = member.candidate.known !== undefined && member.views.length === 0;
  return unseen ? [...annotations, podsNotKnown(member)] : annotations;
}

/** In manifests an operator's pods are absent, and a claim of theirs would look like none. */
function podsNotKnown(member: Draft): PlanProblem {
  return {
    code: 'PODS_NOT_KNOWN',
    severity: 'info',
    object: textOf(member),
    message: 'Its operator makes its pods: their volumes and sidecars show only where they run.',
    fix: 'Plan the cluster itself, without -f.',
  };
}

function unprotected(member: Draft): PlanProblem {
  const { length } = backedUp(member).claims;
  const claims = length === 1 ? 'a claim' : `${length} claims`;
  const out = new Set(member.leftOut?.pods);
  const views = member.views.filter(({ live: name }) => !out.has(name ?? ''));
  const asked = views.every(({ pod }) => labelsOf(pod)[INJECT_LABEL] === 'true');
  const live = views.some((view) => view.live !== undefined);
  const none = 'quiesce.dev/freeze: none';
  const label = `the label ${INJECT_LABEL}: "true"`;
  if (asked && live) {
    const message = `It has ${claims}, and not all of its pods have the sidecar that ${label} asks for.`;
    return missing(
      member,
      message,
      'Restart its pods; quiesce doctor says what keeps the sidecar out.',
    );
  }
  const fix = asked
    ? `quiesce doctor says what keeps the sidecar out. If nothing can freeze it, annotate it ${none}.`
    : `If it is a database that quiesce knows, give its pods ${label}. Else annotate it ${none}: its copy is then crash-consistent, and the run unproven.`;
  return missing(member, `It has ${claims}, and no sidecar freezes it.`, fix);
}

function missing(member: Draft, message: string, fix: string): PlanProblem {
  return { code: 'SIDECAR_MISSING', severity: 'error', object: textOf(member), message, fix };
}

/** Custom resources whose kind the table lacks. */
export function notJudgedProblems(
  resources: readonly ObjectRef[],
  isIn: (namespace: string) => boolean,
): readonly PlanProblem[] {
  return resources
    .filter(({ namespace = 'default' }) => isIn(namespace))
    .map(({ kind, name, namespace = 'default' }) => ({
      code: 'RESOURCE_NOT_JUDGED',
      severity: 'warning',
      object: refText({ kind, name, namespace }),
      message: `quiesce does not know ${kind}: its pods and volumes, its place in the order and when it is ready are not judged.`,
      fix: 'Check that its data is in the backup. Put quiesce.dev annotations on the workloads that its operator makes, where it lets you.',
    }));
}

/** Kinds that could not be read: a plan without them may be incomplete. */
export function notReadProblems({ unexamined }: Catalog): readonly PlanProblem[] {
  const missed = unexamined.filter(({ expected }) => expected !== true);
  return missed.map(({ resource, namespace, reason, optional }) => ({
    code: 'NOT_LOOKED_AT',
    severity: optional ? 'info' : 'warning',
    object: namespace === undefined ? resource : `${namespace} ${resource}`,
    message: `It could not be read: ${reason}. The plan may lack what depends on it.`,
    fix: `Allow get and list of ${resource}.`,
  }));
}
