import type { Catalog } from '../../inventory/catalog.ts';
import { listAt, refText, textAt } from '../../objects/kube-object.ts';
import { veleroOf } from '../../inventory/velero.ts';
import { APPLICATION } from '../../objects/names.ts';
import type { NotKept, PlanProblem } from '../document.ts';
import { problemsOfNames } from '../many-names.ts';
import type { PlannedMember } from '../planned.ts';
import { brokerProblems } from './brokers.ts';
import { declaredIn } from './declared.ts';
import { IN_CONTAINER, MEMORY } from './memory.ts';
import { Made, referencesOf } from './references.ts';
import { lossesOf, type Loss } from './stores.ts';

export interface Kept {
  readonly notKept: readonly NotKept[];
  readonly problems: readonly PlanProblem[];
}

export type KeptOf = (members: readonly PlannedMember[], catalog: Catalog) => Kept;

/** What a restore of these members does not bring back, and what the user should do about it. */
export const keptOf: KeptOf = (members, catalog) => {
  const around = { catalog, velero: veleroOf(catalog) };
  const made = new Made(catalog);
  const judged = members.map((member) => ({ member, losses: lossesOf(member, around) }));
  return {
    notKept: judged.flatMap(({ member, losses }) => losses.map((loss) => notKept(member, loss))),
    problems: [
      ...judged.flatMap(({ member, losses }) => [
        ...stateProblems(member, losses),
        ...missing(member, made),
      ]),
      ...brokerProblems(members),
    ],
  };
};

function notKept(member: PlannedMember, { volume, why }: Loss): NotKept {
  const { namespace, kind, name } = member;
  const declared = declaredIn(member.annotations).get(volume);
  return {
    member: { namespace, kind, name },
    volume,
    why,
    ...(declared !== undefined && { declared }),
  };
}

/** What is lost and not declared, what is declared and cannot be true, and what is declared of nothing. */
function stateProblems(member: PlannedMember, losses: readonly Loss[]): readonly PlanProblem[] {
  const declared = declaredIn(member.annotations);
  const object = refText(member);
  const lost = losses.flatMap(({ volume, why, harmless }): PlanProblem[] => {
    const fate = declared.get(volume);
    if (fate === 'keep') {
      const message = `${APPLICATION.state} says that ${volume} is kept, but no backup holds it: ${why}.`;
      const fix = `Move it to a claim that can be snapshotted, or declare ${volume}=rebuild or ${volume}=discard.`;
      return [{ code: 'STATE_CANNOT_BE_KEPT', severity: 'error', object, message, fix }];
    }
    if (fate !== undefined || harmless) return [];
    const message = `A restore does not bring back ${volume}: ${why}.`;
    const fix = `If it matters, move it to a claim. Else declare it: ${APPLICATION.state}: "${volume}=rebuild" (made anew) or "${volume}=discard".`;
    return [{ code: 'STATE_NOT_KEPT', severity: 'warning', object, message, fix }];
  });
  const unknown = problemsOfNames(unknownVolumes(member, losses), (names, several) => {
    const message = `${APPLICATION.state} names ${names}, which ${several ? 'are no volumes' : 'is no volume'} of its pods.`;
    const fix = 'Correct or remove the name.';
    return { code: 'STATE_UNKNOWN_VOLUME', severity: 'warning', object, message, fix };
  });
  return [...lost, ...unknown];
}

function unknownVolumes(member: PlannedMember, losses: readonly Loss[]): readonly string[] {
  const known = volumesOf(member, losses);
  if (known === undefined) return [];
  return [...declaredIn(member.annotations).keys()].filter((volume) => !known.has(volume));
}

/** The names that a declaration may use; `undefined`: there are no pods to take them from. */
function volumesOf(
  { views, volumeClaims, object }: PlannedMember,
  losses: readonly Loss[],
): ReadonlySet<string> | undefined {
  if (views.length === 0) return undefined;
  const templates = listAt(object, 'spec', 'volumeClaimTemplates');
  return new Set([
    ...views.flatMap(({ pod }) => (pod.spec?.volumes ?? []).map(({ name }) => name)),
    ...volumeClaims.map(({ volume }) => volume),
    ...templates.flatMap((one) => textAt(one, 'metadata', 'name') ?? []),
    ...losses.map(({ volume }) => volume),
    MEMORY,
    IN_CONTAINER,
  ]);
}

/** What its pods name, and what neither is among the objects nor is made by one of them. */
function missing(member: PlannedMember, made: Made): readonly PlanProblem[] {
  const { namespace, views } = member;
  const object = refText(member);
  const references = views.flatMap(({ pod }) => referencesOf(pod));
  const unique = new Map(references.map((one) => [`${one.kind}/${one.name}`, one]));
  return [...unique.values()]
    .filter((one) => made.lacks(one, namespace))
    .map(({ kind, name }): PlanProblem => ({
      code: kind === 'Secret' ? 'SECRET_MISSING' : 'CONFIGMAP_MISSING',
      severity: 'warning',
      object,
      message: `Its pods name the ${kind} ${name}, which is not among the objects, and which none of them makes: without it they do not start after a restore.`,
      fix: `Add the ${kind} to what is backed up, or mark the reference as optional.`,
    }));
}
