import { isExcluded, EXCLUDE } from './left-out.ts';
import type { PodFacts } from '../inventory/pod-facts.ts';
import { textAt } from '../objects/kube-object.ts';
import { dataVolumesOf } from './data-volumes.ts';
import { declaredIn } from './kept/declared.ts';
import { IN_CONTAINER } from './kept/memory.ts';
import { volumeLoss } from './kept/volumes.ts';
import type { Draft } from './member.ts';

/**
 * Why no snapshot holds what a member's sidecars freeze, one sentence for each volume. What the user declares
 * to be made anew or not missed needs none.
 */
export function dataNotCut(member: Draft): readonly NotCut[] {
  const { protection, facts, leftOut } = member;
  if (protection !== 'sidecar' && protection !== 'not-needed') return [];
  const out = new Set(leftOut?.pods);
  const found = facts
    .filter(({ view }) => !out.has(view.live ?? ''))
    .flatMap((one) => lostOf(member, one));
  return [...new Map(found.map((one) => [one.why, one])).values()];
}

/** A database whose data a snapshot does not hold. */
export interface NotCut {
  readonly why: string;
  /** The volume with the data; `undefined`: there is none. */
  readonly volume: string | undefined;
  readonly facts: PodFacts;
}

function lostOf(member: Draft, facts: PodFacts): readonly NotCut[] {
  const { pod, sidecar, native, view } = facts;
  if ((sidecar ?? native) === undefined || isExcluded(pod)) return [];
  const volumes = dataVolumesOf(facts);
  if (volumes === undefined) return [];
  const whose = view.live === undefined ? 'its pods' : `the pod ${view.live}`;
  if (volumes.length === 0) {
    if (declaredLost(member, IN_CONTAINER)) return [];
    const why = `The database of ${whose} keeps its data in no volume, but in its container.`;
    return [{ why, volume: undefined, facts }];
  }
  return volumes.flatMap((volume) => {
    if (declaredLost(member, volume)) return [];
    const reason = whyNotCut(member, facts, volume);
    if (reason === undefined) return [];
    const why = `The database of ${whose} keeps its data on the volume ${volume}: ${reason}.`;
    return [{ why, volume, facts }];
  });
}

function declaredLost({ annotations }: Draft, volume: string): boolean {
  const fate = declaredIn(annotations).get(volume);
  return fate === 'rebuild' || fate === 'discard';
}

function whyNotCut(
  { volumeClaims, leftOut }: Draft,
  { pod }: PodFacts,
  name: string,
): string | undefined {
  const volume = pod.spec?.volumes?.find((one) => one.name === name) ?? { name };
  const claim = textAt(volume, 'persistentVolumeClaim', 'claimName');
  const own = volumeClaims.filter((one) =>
    claim === undefined ? one.volume === name : one.name === claim,
  );
  const kept = own.filter(({ source }) => source !== 'ephemeral');
  if (kept.length === 0) return volumeLoss(volume)?.why ?? 'no claim is behind it';
  const left = new Set(leftOut?.claims);
  return kept.every((one) => left.has(one.name))
    ? `its claim is left out by the label ${EXCLUDE}`
    : undefined;
}
