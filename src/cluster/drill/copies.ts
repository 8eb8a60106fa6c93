import type { EngineName } from '../../engines/names.ts';
import type { RestoreCheckLevel } from '../../receipt/restore-level.ts';
import { labelsOf, namespaceOf } from '../objects/kube-object.ts';
import { INJECT_LABEL } from '../objects/names.ts';
import type { Pod } from '../objects/pod.ts';
import { backedUp, type MemberRef } from '../plan/document.ts';
import type { PlannedMember } from '../plan/planned.ts';
import type { RestoreProblem } from '../restore/document.ts';
import type { ToMake } from '../restore/volumes/make.ts';
import type { SourceVolume } from '../restore/volumes/source-volume.ts';
import type { GateTargets } from './gate.ts';
import { type DrillMarks, drillAnnotations, drillLabels, scratchName } from './marks.ts';
import { drillPod, sidecarImage } from './pod.ts';
import { type ConfigRef, configRefs } from './references.ts';
import { type SourcePod, sourcePods } from './source-pods.ts';
import type { DrillSource } from './source.ts';

/** One pod that proves the data of one pod of the source. */
export interface Copy {
  readonly member: MemberRef;
  /** Of the source. */
  readonly namespace: string;
  readonly engine: EngineName;
  readonly pod: Pod;
  readonly claims: readonly string[];
  readonly notes: readonly string[];
}

/** A member that holds data. */
export interface CopiedMember extends MemberRef {
  readonly engine?: string;
  /** Why its data, or a part of it, is not looked at. */
  readonly doubts: readonly RestoreProblem[];
}

export interface CopyPlan {
  /** Namespaces of the source → scratch namespaces. */
  readonly namespaces: ReadonlyMap<string, string>;
  readonly members: readonly CopiedMember[];
  readonly copies: readonly Copy[];
  readonly volumes: readonly ToMake[];
}

export interface CopyOrder {
  readonly marks: DrillMarks;
  readonly check: RestoreCheckLevel;
  /** Of the sidecar, where it is not that of the source. */
  readonly image?: string | undefined;
  readonly gate?: GateTargets | undefined;
  readonly activeSeconds: number;
  /** Of the scratch namespace; only for an application of one namespace. */
  readonly scratch?: string | undefined;
  readonly storageClasses: ReadonlyMap<string, string>;
  readonly snapshotClasses: ReadonlySet<string>;
}

/** Which pods prove the data of a source, and what they need. Pure. */
export function planCopies(source: DrillSource, order: CopyOrder): CopyPlan {
  const held = source.members.map(backedUp).filter((one) => holdsData(one, source));
  const names = [...new Set(held.map(({ namespace }) => namespace))];
  const namespaces = new Map(
    names.map((one) => [one, order.scratch ?? scratchName(one, order.marks)]),
  );
  const known = source.members.flatMap(({ views }) =>
    views.flatMap(({ pod }) => sidecarImage(pod) ?? []),
  );
  const image = order.image ?? known[0];
  const done = held.map((member) => copiesOf(member, source, { ...order, image }, namespaces));
  const copies = done.flatMap((one) => one.copies);
  const mounted = new Set(
    copies.flatMap((one) => one.claims.map((claim) => `${one.namespace}/${claim}`)),
  );
  const volumes = source.volumes
    .filter(({ namespace, claim }) => mounted.has(`${namespace}/${claim}`))
    .map((volume) => toMake(volume, source, order, namespaces));
  return { namespaces, members: done.map((one) => one.member), copies, volumes };
}

function holdsData(member: PlannedMember, { volumes, without }: DrillSource): boolean {
  const { namespace, claims } = member;
  const has = claimsIn(volumes, namespace);
  return (
    claims.some((one) => has.has(one) || without.includes(`${namespace}/${one}`)) ||
    sourcePods(member, has).length > 0
  );
}

function claimsIn(volumes: readonly SourceVolume[], namespace: string): ReadonlySet<string> {
  return new Set(volumes.filter((one) => one.namespace === namespace).map(({ claim }) => claim));
}

function copiesOf(
  member: PlannedMember,
  source: DrillSource,
  order: CopyOrder,
  namespaces: ReadonlyMap<string, string>,
): { readonly member: CopiedMember; readonly copies: readonly Copy[] } {
  const { namespace, kind, name, engine, claims } = member;
  const has = claimsIn(source.volumes, namespace);
  const pods = sourcePods(member, has);
  const ref = { namespace, kind, name };
  const absent = claims.filter((one) => !has.has(one));
  const covered = new Set(pods.flatMap((one) => one.claims));
  const unseen = [...has].filter((one) => claims.includes(one) && !covered.has(one));
  const doubts: RestoreProblem[] = [
    ...(absent.length === 0 ? [] : [notIn(absent, source)]),
    ...(unseen.length === 0 ? [] : [unmounted(unseen)]),
  ];
  const copies: Copy[] = [];
  for (const one of pods) {
    const made = copyOf(one, ref, { source, order, namespaces });
    if ('wrong' in made) doubts.push(notCopied(one, made.wrong));
    else copies.push(made);
  }
  const copied = { ...ref, ...(engine !== undefined && { engine }), doubts };
  return { member: copied, copies };
}

function copyOf(
  { name, pod, claims }: SourcePod,
  member: MemberRef,
  around: {
    readonly source: DrillSource;
    readonly order: CopyOrder;
    readonly namespaces: ReadonlyMap<string, string>;
  },
): Copy | { readonly wrong: string } {
  const { source, order, namespaces } = around;
  const { namespace } = member;
  const own = sidecarImage(pod);
  if (own === undefined && labelsOf(pod)[INJECT_LABEL] !== 'true') {
    return { wrong: 'it has no sidecar' };
  }
  const image = order.image ?? own;
  if (image === undefined) return { wrong: 'nothing names the image of its sidecar (--image)' };
  const receipt = source.volumes.find(
    (one) => one.namespace === namespace && claims.includes(one.claim) && one.receipt !== undefined,
  )?.receipt;
  const done = drillPod(pod, {
    marks: order.marks,
    namespace: namespaces.get(namespace) ?? '',
    name,
    image,
    check: order.check,
    claims: new Set(claims),
    activeSeconds: order.activeSeconds,
    ...(order.gate !== undefined && { gate: order.gate }),
    ...(receipt !== undefined && { receipt }),
  });
  if ('wrong' in done) return done;
  return { member, namespace, engine: done.engine, pod: done.pod, claims, notes: done.notes };
}

function toMake(
  volume: SourceVolume,
  { claims }: DrillSource,
  { marks, storageClasses, snapshotClasses }: CopyOrder,
  namespaces: ReadonlyMap<string, string>,
): ToMake {
  const described = claims.filter(
    (one) => namespaceOf(one) === volume.namespace && one.metadata?.name === volume.claim,
  );
  const target = {
    id: marks.id,
    group: marks.group,
    namespace: namespaces.get(volume.namespace) ?? '',
    storageClasses,
    snapshotClasses,
    labels: drillLabels(marks),
    annotations: drillAnnotations(marks),
  };
  return { volume, target, claims: described };
}

/** The ConfigMaps and Secrets that the copies name, by namespace of the source. */
export function configsOf({
  copies,
}: CopyPlan): readonly (ConfigRef & { readonly namespace: string })[] {
  const all = copies.flatMap(({ namespace, pod }) =>
    configRefs(pod).map((one) => ({ ...one, namespace })),
  );
  return [...new Map(all.map((one) => [`${one.namespace}/${one.kind}/${one.name}`, one])).values()];
}

function notIn(claims: readonly string[], { about }: DrillSource): RestoreProblem {
  return {
    code: 'VOLUME_NOT_IN_SOURCE',
    message: `The ${about.kind} has no snapshot of ${claims.join(', ')}.`,
    hint: 'A drill of data needs snapshots that are still on the storage: neither moved nor copied as files.',
  };
}

function unmounted(claims: readonly string[]): RestoreProblem {
  const message = `No pod is known that mounts ${claims.join(', ')}.`;
  return { code: 'VOLUME_NOT_JUDGED', message };
}

function notCopied({ name }: SourcePod, wrong: string): RestoreProblem {
  return {
    code: 'VOLUME_NOT_JUDGED',
    message: `The data of the pod ${name} is not looked at: ${wrong}.`,
    hint: 'Only a sidecar can judge data: docs/install.md.',
  };
}
