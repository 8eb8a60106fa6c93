import type { Catalog } from '../../inventory/catalog.ts';
import {
  annotationsOf,
  type KubeObject,
  labelsOf,
  listAt,
  namespaceOf,
  textAt,
} from '../../objects/kube-object.ts';
import { fileBackupOf, type Velero } from '../../inventory/velero.ts';
import type { Pod, Volume } from '../../objects/pod.ts';
import { knownResource } from '../custom-resources.ts';
import type { MemberClaim, PlannedMember } from '../planned.ts';
import { lostByResource } from '../resources/lost.ts';
import { EXCLUDE, isExcluded } from '../left-out.ts';
import { type ClaimLoss, claimLoss } from './claims.ts';
import { isHarmlessIn } from './embedded.ts';
import { isFilled } from './filled.ts';
import { unmounted } from './memory.ts';
import { initContainers, isScratch, mountsOf, runningContainers } from './mounts.ts';
import { volumeLoss } from './volumes.ts';

/** A store of a member that no backup holds. */
export interface Loss {
  readonly volume: string;
  readonly why: string;
  /** No problem of its own: it is scratch, an init container fills it again, or it is told elsewhere. */
  readonly harmless: boolean;
}

/** What the members of one application have in common. */
export interface Around {
  readonly catalog: Catalog;
  readonly velero: Velero;
}

/** The stores of a member that a backup does not hold, each volume once. */
export function lossesOf(member: PlannedMember, around: Around): readonly Loss[] {
  const losses = [
    ...member.views.flatMap(({ pod }) => [
      ...volumeLosses(pod, member, around),
      ...unmounted(pod, member, around.catalog).map((one) => ({ ...one, harmless: false })),
    ]),
    ...claimLosses(member, around),
    ...(member.views.length === 0 ? resourceLosses(member, around.catalog) : []),
  ];
  const byVolume = new Map<string, Loss>();
  for (const one of losses) {
    // Among the pods of a member one may use a volume in another way: the worst counts.
    const before = byVolume.get(one.volume);
    if (before === undefined || (before.harmless && !one.harmless)) byVolume.set(one.volume, one);
  }
  return [...byVolume.values()];
}

function volumeLosses(pod: Pod, member: PlannedMember, around: Around): readonly Loss[] {
  const claimed = new Set(persistentClaims(member).map(({ volume }) => volume));
  return (pod.spec?.volumes ?? []).flatMap((volume): Loss[] => {
    const loss = claimed.has(volume.name) ? undefined : volumeLoss(volume);
    if (loss === undefined || !isMounted(pod, volume)) return [];
    if (loss.files && isCopied(pod, member, volume.name, around)) return [];
    const filled = volume['hostPath'] === undefined && isFilled(pod, volume.name);
    return [{ volume: volume.name, why: loss.why, harmless: filled || isScratch(pod, volume) }];
  });
}

function isMounted(pod: Pod, { name }: Volume): boolean {
  return mountsOf([...runningContainers(pod), ...initContainers(pod)], name).length > 0;
}

/** Whether Velero copies the volume file by file. It does nothing with a pod that it leaves out. */
function isCopied(pod: Pod, member: PlannedMember, volume: string, { velero }: Around): boolean {
  if (labelsOf(pod)[EXCLUDE] === 'true') return false;
  const facts = { annotations: annotationsOf(pod), pod, workload: { namespace: member.namespace } };
  return fileBackupOf(velero, facts, volume) !== undefined;
}

function claimLosses(member: PlannedMember, around: Around): readonly Loss[] {
  const pods = member.views.map(({ pod }) => pod);
  const left = excludedWhole(member, around.catalog);
  const out = new Set(member.leftOut?.claims);
  const claims = persistentClaims(member);
  return claims.flatMap((claim): Loss[] => {
    const copies = claims.filter(({ volume }) => volume === claim.volume);
    if (out.has(claim.name) && copies.some(({ name }) => !out.has(name))) {
      return [oneOfCopies(claim.volume, copies, out)];
    }
    const loss = claimLoss(claim, member.namespace, around.catalog) ?? left;
    if (loss === undefined) return [];
    const copied = pods.every((pod) => isCopied(pod, member, claim.volume, around));
    if (loss.files && pods.length > 0 && copied) return [];
    const volumes = pods.flatMap((pod) => ({
      pod,
      volume: pod.spec?.volumes?.find(({ name }) => name === claim.volume) ?? {
        name: claim.volume,
      },
    }));
    const scratch =
      volumes.length > 0 && volumes.every(({ pod, volume }) => isScratch(pod, volume));
    // Where all objects are there, the plan has an error for each claim that cannot be snapshotted.
    const told = loss.ofClass === true && around.catalog.scope === 'cluster';
    return [{ volume: claim.volume, why: loss.why, harmless: scratch || told }];
  });
}

/** Whoever labels some of many pods has decided which copies to keep. */
function oneOfCopies(
  volume: string,
  copies: readonly MemberClaim[],
  out: ReadonlySet<string>,
): Loss {
  const names = copies.map(({ name }) => name).filter((name) => out.has(name));
  const shown =
    names.length > 3
      ? `${names.slice(0, 3).join(', ')} and ${names.length - 3} more`
      : names.join(', ');
  const why = `of ${copies.length} claims, ${shown}: left out by the label ${EXCLUDE}`;
  return { volume, why, harmless: true };
}

/** Its claims that outlive its pods, and those that its templates would make where it has no pods. */
function persistentClaims({ volumeClaims, object }: PlannedMember): readonly MemberClaim[] {
  const claims = volumeClaims.filter(({ source }) => source !== 'ephemeral');
  const templates = listAt(object, 'spec', 'volumeClaimTemplates').flatMap((one): MemberClaim[] => {
    const name = textAt(one, 'metadata', 'name') ?? '';
    if (claims.some(({ volume }) => volume === name)) return [];
    return [{ name, volume: name, source: 'template', object: one as KubeObject }];
  });
  return [...claims, ...templates];
}

/** Whether Velero leaves out all pods of the member, or its namespace, and their claims with them. */
function excludedWhole(member: PlannedMember, catalog: Catalog): ClaimLoss | undefined {
  const pods = member.views.map(({ pod }) => pod);
  const namespace = catalog.all('Namespace').find((one) => one.metadata?.name === member.namespace);
  if (isExcluded(namespace)) {
    return { why: `the namespace has the label ${EXCLUDE}`, files: false };
  }
  const excluded = pods.length > 0 && pods.every((pod) => labelsOf(pod)[EXCLUDE] === 'true');
  return excluded ? { why: `its pod has the label ${EXCLUDE}`, files: false } : undefined;
}

/** What the spec of a custom resource says, together with those that are a part of it. */
function resourceLosses(member: PlannedMember, catalog: Catalog): readonly Loss[] {
  const parts = catalog.kinds
    .flatMap((kind) => catalog.all(kind))
    .filter((one) => {
      const known = knownResource(one);
      const whole = known === undefined || known === 'unknown' ? undefined : known.partOf?.(one);
      return (
        whole?.kind === member.kind &&
        whole.name === member.name &&
        namespaceOf(one) === member.namespace
      );
    });
  return [member.object, ...parts].flatMap((object) => {
    const known = knownResource(object);
    if (known === undefined || known === 'unknown') return [];
    return lostByResource(object, known).map((one) => ({
      ...one,
      harmless: isHarmlessIn(object['spec'], one.volume),
    }));
  });
}
