import { QuiesceError } from '../../errors.ts';
import { namespaceOf, textAt } from '../objects/kube-object.ts';
import { type SidecarContainer, sidecarContainer } from '../inventory/sidecar-container.ts';
import {
  backedUp,
  type MemberRef,
  membersOf,
  type Plan,
  type PlanMember,
} from '../plan/document.ts';
import { listed } from '../plan/many-names.ts';
import type { Planned } from '../plan/plan.ts';

/** A pod as it was seen. */
export interface PodSeen {
  readonly uid: string;
  readonly sidecar: SidecarContainer | undefined;
}

/** A pod that may write to a claim, or that has done so. */
export interface WriterSeen {
  readonly namespace: string;
  readonly claim: string;
  readonly pod: string;
  readonly uid: string;
  readonly ended: boolean;
}

/** A plan, and what ran when it was made. */
export interface Scene {
  readonly plan: Plan;
  /** By {@link podKey}, also those that are being deleted: they may still write. */
  readonly pods: ReadonlyMap<string, PodSeen>;
  /** By {@link memberKey}: another one means that the specification of the member has changed. */
  readonly revisions: ReadonlyMap<string, string>;
  readonly writers: readonly WriterSeen[];
}

export function podKey(namespace: string, name: string): string {
  return `${namespace}/${name}`;
}

export function memberKey({ namespace, kind, name }: MemberRef): string {
  return `${namespace}/${kind}/${name}`;
}

export function sceneOf({ plan, members, catalog, uses }: Planned): Scene {
  const seen = catalog
    .all('Pod')
    .map((one): [string, PodSeen] => [
      podKey(namespaceOf(one), one.metadata?.name ?? ''),
      { uid: textAt(one, 'metadata', 'uid') ?? '', sidecar: sidecarContainer(one) },
    ]);
  const writers = uses.flatMap(({ namespace, claim, pod, uid, ended, writers: own }) =>
    pod === undefined || uid === undefined || own.length === 0
      ? []
      : [{ namespace, claim, pod, uid, ended }],
  );
  const revisions = new Map(members.map((one) => [memberKey(one), one.revision]));
  return { plan, pods: new Map(seen), revisions, writers };
}

/** A member whose volumes are cut, with its pods that run. */
export interface CutMember {
  readonly member: PlanMember;
  /** `not-needed`: its pods only read what is cut. */
  readonly protection: 'sidecar' | 'none' | 'at-rest' | 'not-needed';
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
    return { member, protection: protectionOf(member, live.length), pods: live };
  });
  const frozen = cut.filter(({ protection }) => protection === 'sidecar');
  refuse('MEMBER_WITHOUT_SIDECAR', 'has claims and no sidecar', frozen, ({ sidecar }) => !sidecar);
  refuseUnprotected(cut);
  refuseMissing(cut);
  refuse(
    'MEMBER_NOT_READY',
    'has a sidecar that does not run',
    frozen,
    ({ sidecar }) => sidecar?.running === false,
  );
  return cut;
}

function protectionOf({ protection }: PlanMember, pods: number): CutMember['protection'] {
  if (protection === 'none' || protection === 'not-needed') return protection;
  return pods === 0 ? 'at-rest' : 'sidecar';
}

/** A pod that is meant to run may start at any moment, and write unfrozen. */
function refuseMissing(members: readonly CutMember[]): void {
  const found = members.flatMap(({ member, protection }) => {
    const { namespace, kind, name, missingPods = [] } = member;
    const matters = protection === 'sidecar' || protection === 'at-rest';
    if (!matters || missingPods.length === 0) return [];
    return [`${namespace} ${kind}/${name} lacks pods that it should have: ${listed(missingPods)}`];
  });
  if (found.length === 0) return;
  const text = `${found.slice(0, SHOWN).join('; ')}${more(found.length)}.`;
  const hint =
    'Wait until they run, or scale the member to those that do: quiesce plan names them.';
  throw new QuiesceError('MEMBER_NOT_READY', text, { hint });
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
