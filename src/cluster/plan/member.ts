import { rulesOf } from '../inventory/namespace.ts';
import { factsOf, type PodFacts } from '../inventory/pod-facts.ts';
import type { Catalog } from '../inventory/catalog.ts';
import { annotationsOf, at, labelsOf } from '../objects/kube-object.ts';
import { injectConfig, webhooksOf } from '../inventory/webhook.ts';
import type { InjectConfig } from '../inject/options.ts';
import { APPLICATION } from '../objects/names.ts';
import { annotationsFrom, type AnnotationProblem, priorityOf, validValue } from './annotations.ts';
import { byNumber, claimsOf, missingPods, podsOf, replicasOf, viewsOf } from './claims.ts';
import type { LeftOut, Protection } from './document.ts';
import type { Candidate } from './gather.ts';
import { Exclusions } from './left-out.ts';
import type { MemberClaim, PlannedMember } from './planned.ts';
import { type Place, placeOf } from './place.ts';
import { isOnlyRead } from './writers.ts';

/** A member before its place among the others is known. */
export interface Draft extends Omit<PlannedMember, 'after' | 'from' | 'dependsOn' | 'order'> {
  readonly candidate: Candidate;
  readonly place: Place;
  readonly annotationProblems: readonly AnnotationProblem[];
  /** Of its views; one that is malformed has none. */
  readonly facts: readonly PodFacts[];
  /** Labels that its pods have, for the selectors of Services. */
  readonly podLabels: readonly Readonly<Record<string, string>>[];
  /** The Services that its operator makes. */
  readonly services: readonly string[];
}

/** Reads each candidate. A malformed one, which an API server would refuse, has no pods. */
export function draftsOf(catalog: Catalog, candidates: readonly Candidate[]): readonly Draft[] {
  const config = injectConfig(webhooksOf(catalog));
  const exclusions = new Exclusions(
    catalog,
    candidates.flatMap(({ workloads }) => workloads),
  );
  return candidates.map((candidate) => draftOf({ catalog, config, exclusions }, candidate));
}

interface Around {
  readonly catalog: Catalog;
  readonly config: InjectConfig;
  readonly exclusions: Exclusions;
}

function draftOf({ catalog, config, exclusions }: Around, candidate: Candidate): Draft {
  const { object, namespace, kind, name, workloads, known } = candidate;
  const annotations = annotationsFrom(object, annotationsBelow(candidate));
  const views = workloads.flatMap(viewsOf);
  const facts = workloads.flatMap((workload) =>
    viewsOf(workload).flatMap(
      (view) => tryFacts(workload, view, config, rulesOf(catalog, namespace)) ?? [],
    ),
  );
  const volumeClaims = unique(workloads.flatMap((one) => claimsOf(catalog, one)));
  const claims = volumeClaims.filter(({ source }) => source !== 'ephemeral');
  const place = placeOf(annotations.values, known, facts);
  const leftOut = exclusions.of(workloads, namespace, claims);
  const replicas = replicasOfAll(candidate);
  const whole = facts.length === views.length;
  const isThere = catalog.scope === 'cluster' && catalog.sees('pods', namespace);
  const missing = isThere ? missingOf(workloads, leftOut) : [];
  return {
    namespace,
    kind,
    name,
    candidate,
    object,
    place,
    stage: place.stage,
    ...(place.engine !== undefined && { engine: place.engine }),
    priority: priorityOf(annotations.values),
    protection: protectionOf({ claims, leftOut, facts: whole ? facts : [] }, annotations.values),
    pods: workloads.flatMap(podsOf).toSorted(byNumber),
    claims: claims.map((one) => one.name),
    ...(leftOut !== undefined && { leftOut }),
    annotations: annotations.values,
    annotationProblems: annotations.problems,
    ...(missing.length > 0 && { missingPods: missing }),
    facts,
    views,
    volumeClaims,
    revision: workloads.flatMap(revisionOf).toSorted().join(),
    ...(replicas !== undefined && { replicas }),
    podLabels: workloads.flatMap(labelsOfPods),
    services: known?.services(name, object) ?? [],
  };
}

/** The generation of a Pod also counts changes that are none of its member's, such as a debug container. */
function revisionOf({ kind, name, object }: Candidate['workloads'][number]): readonly string[] {
  const generation = at(object, 'metadata', 'generation');
  const uid = object.metadata?.uid ?? '';
  return kind === 'Pod' ? [] : [`${kind}/${name} ${uid} ${String(generation)}`];
}

function annotationsBelow({ kind, workloads, parts, known }: Candidate) {
  // The pods of a workload have the annotations of its template, which is the first of its views.
  const templates = workloads.flatMap(({ views, kind: one }) =>
    one === 'Pod' ? views : views.slice(0, 1),
  );
  const owned = known === undefined && kind === workloads[0]?.kind ? [] : workloads;
  return [
    ...parts.map(annotationsOf),
    ...owned.map((one) => annotationsOf(one.object)),
    ...templates.map(({ pod }) => annotationsOf(pod)),
  ];
}

/** Names, or a number where names are not fixed: `db-1`, `1 of 2 of web`. */
function missingOf(
  workloads: Candidate['workloads'],
  leftOut: LeftOut | undefined,
): readonly string[] {
  return workloads.flatMap((workload) => {
    const { names, count } = missingPods(workload);
    if (names.length > 0) return names.filter((one) => leftOut?.pods.includes(one) !== true);
    const wanted = replicasOf(workload) ?? 0;
    return count === 0 ? [] : [`${count} of the ${wanted} pods of ${workload.name}`];
  });
}

function tryFacts(...given: Parameters<typeof factsOf>): PodFacts | undefined {
  try {
    return factsOf(...given);
  } catch {
    return undefined;
  }
}

/** A running pod needs the sidecar itself. For a template the label is enough: its pods will get one. */
function protectionOf(
  {
    claims,
    leftOut,
    facts,
  }: {
    claims: readonly MemberClaim[];
    leftOut: LeftOut | undefined;
    facts: readonly PodFacts[];
  },
  annotations: Readonly<Record<string, string>>,
): Protection {
  const kept = claims.filter(({ name }) => leftOut?.claims.includes(name) !== true);
  if (kept.every(({ volume }) => isReadBy(facts, volume))) return 'not-needed';
  if (validValue(annotations, APPLICATION.freeze) === 'none') return 'none';
  const frozen = facts.filter(({ view }) => leftOut?.pods.includes(view.live ?? '') !== true);
  return frozen.length > 0 && frozen.every(hasSidecar) ? 'sidecar' : 'missing';
}

/** Whether all of these pods only read the volume: then they need not be held while it is cut. */
function isReadBy(facts: readonly PodFacts[], volume: string): boolean {
  return facts.length > 0 && facts.every(({ view }) => isOnlyRead(view.pod, volume));
}

function hasSidecar({ sidecar, native, injection, view }: PodFacts): boolean {
  if (native !== undefined) return true;
  return sidecar !== undefined && (view.live === undefined || injection === undefined);
}

function replicasOfAll({ object, workloads, known }: Candidate): number | undefined {
  const all = workloads.map(replicasOf);
  if (all.length > 0) {
    return all.some((one) => one === undefined)
      ? undefined
      : all.reduce<number>((sum, one) => sum + (one ?? 0), 0);
  }
  const said = known && (at(object, 'spec', 'instances') ?? at(object, 'spec', 'replicas'));
  return typeof said === 'number' ? said : undefined;
}

function labelsOfPods(workload: Candidate['workloads'][number]) {
  const views = viewsOf(workload);
  const live = views.some((view) => view.live !== undefined);
  const labels = views.map(({ pod }) => labelsOf(pod));
  if (live || workload.kind !== 'StatefulSet') return labels;
  return podsOf(workload).length === 0
    ? labels
    : podsOf(workload).flatMap((pod) =>
        labels.map((one) => ({
          ...one,
          'statefulset.kubernetes.io/pod-name': pod,
          'apps.kubernetes.io/pod-index': pod.slice(pod.lastIndexOf('-') + 1),
        })),
      );
}

function unique(claims: readonly MemberClaim[]): readonly MemberClaim[] {
  return [...new Map(claims.map((one) => [one.name, one])).values()];
}
