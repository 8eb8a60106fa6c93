import { QuiesceError } from '../../errors.ts';
import { type KubeObject, namespaceOf, textAt } from '../inventory/catalog.ts';
import { type SidecarContainer, sidecarContainer } from '../inventory/sidecar-container.ts';
import { backedUp, membersOf, type Plan, type PlanMember } from '../plan/document.ts';

/** A pod as it was seen. */
export interface PodSeen {
  readonly uid: string;
  readonly sidecar: SidecarContainer | undefined;
}

/** A plan, and the pods that ran when it was made, by {@link podKey}. */
export interface Scene {
  readonly plan: Plan;
  readonly pods: ReadonlyMap<string, PodSeen>;
}

export function podKey(namespace: string, name: string): string {
  return `${namespace}/${name}`;
}

/** @param pods the pods of the namespaces of the plan */
export function sceneOf(plan: Plan, pods: readonly KubeObject[]): Scene {
  const live = pods.filter((one) => one.metadata?.deletionTimestamp === undefined);
  const seen = live.map((one): [string, PodSeen] => [
    podKey(namespaceOf(one), one.metadata?.name ?? ''),
    { uid: textAt(one, 'metadata', 'uid') ?? '', sidecar: sidecarContainer(one) },
  ]);
  return { plan, pods: new Map(seen) };
}

/** A member whose volumes are cut, with its pods that run. */
export interface CutMember {
  readonly member: PlanMember;
  readonly protection: 'sidecar' | 'none' | 'at-rest';
  readonly pods: readonly (PodSeen & { readonly name: string })[];
}

/** @throws QuiesceError NO_VOLUMES, MEMBER_WITHOUT_SIDECAR, MEMBER_NOT_READY */
export function cutMembers({ plan, pods }: Scene): readonly CutMember[] {
  const members = membersOf(plan)
    .map(backedUp)
    .filter(({ claims }) => claims.length > 0);
  if (members.length === 0) throw nothingToCut(plan);
  const cut = members.map((member): CutMember => {
    const live = member.pods.flatMap((name) => {
      const seen = pods.get(podKey(member.namespace, name));
      return seen === undefined ? [] : [{ ...seen, name }];
    });
    const protection =
      member.protection === 'none' ? 'none' : live.length === 0 ? 'at-rest' : 'sidecar';
    return { member, protection, pods: live };
  });
  const frozen = cut.filter(({ protection }) => protection === 'sidecar');
  refuse('MEMBER_WITHOUT_SIDECAR', 'has claims and no sidecar', frozen, ({ sidecar }) => !sidecar);
  refuseUnprotected(cut);
  refuse(
    'MEMBER_NOT_READY',
    'has a sidecar that does not run',
    frozen,
    ({ sidecar }) => sidecar?.running === false,
  );
  return cut;
}

/** Without a pod there is nothing to freeze now, but its next pod would write unfrozen. */
function refuseUnprotected(members: readonly CutMember[]): void {
  const found = members.filter(
    ({ member, protection }) => protection === 'at-rest' && member.protection === 'missing',
  );
  if (found.length === 0) return;
  const names = found.map(
    ({ member: { namespace, kind, name } }) => `${namespace} ${kind}/${name}`,
  );
  const text = `${names.slice(0, SHOWN).join(', ')}${more(found.length)}: it has claims, and its pods would have no sidecar.`;
  throw new QuiesceError('MEMBER_WITHOUT_SIDECAR', text);
}

function nothingToCut(plan: Plan): QuiesceError {
  const out = leftOutOf(plan);
  if (out.length === 0) {
    const text = `No member of ${plan.group} has a claim, so there is nothing to cut.`;
    return new QuiesceError('NO_VOLUMES', text);
  }
  const text = `All claims of ${plan.group} are left out, so there is nothing to cut.`;
  const hint =
    'Remove the label velero.io/exclude-from-backup from the claims and pods to back up.';
  return new QuiesceError('NO_VOLUMES', text, { hint });
}

/** The claims that the user has left out of backups. */
export function leftOutOf(plan: Plan): readonly { namespace: string; claim: string }[] {
  return membersOf(plan).flatMap(({ namespace, leftOut }) =>
    (leftOut?.claims ?? []).map((claim) => ({ namespace, claim })),
  );
}

function refuse(
  code: 'MEMBER_WITHOUT_SIDECAR' | 'MEMBER_NOT_READY',
  what: string,
  members: readonly CutMember[],
  wrong: (pod: PodSeen) => boolean,
): void {
  const found = members.flatMap(({ member, pods }) =>
    pods.filter(wrong).map(({ name }) => {
      const { namespace, kind, name: of } = member;
      return `${namespace} ${kind}/${of} ${what} (pod ${name})`;
    }),
  );
  if (found.length === 0) return;
  throw new QuiesceError(code, `${found.slice(0, SHOWN).join('; ')}${more(found.length)}.`);
}

const SHOWN = 10;

function more(count: number): string {
  return count > SHOWN ? `; and ${count - SHOWN} more` : '';
}
