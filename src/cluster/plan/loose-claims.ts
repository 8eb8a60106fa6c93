import { groupBy } from '../../lib/group-by.ts';
import type { Catalog } from '../inventory/catalog.ts';
import { type KubeObject, namespaceOf, refText } from '../objects/kube-object.ts';
import { leftBehind } from './claims.ts';
import type { PlanProblem } from './document.ts';
import { textOf } from './edges.ts';
import { EXCLUDE, isExcluded } from './left-out.ts';
import { listed } from './many-names.ts';
import type { Draft } from './member.ts';
import type { Selection } from './selection.ts';
import type { Use } from './uses.ts';

const CLAIM = 'PersistentVolumeClaim';

/** Claims that a snapshot of the application does not cut, because they are those of no member. */
export function looseClaims(
  catalog: Catalog,
  { all, chosen, uses }: { all: readonly Draft[]; chosen: readonly Draft[]; uses: readonly Use[] },
  selection: Selection,
): readonly PlanProblem[] {
  const left = new Set<string>();
  const behind = all.flatMap((member): PlanProblem[] => {
    const names = member.candidate.workloads.flatMap((one) => leftBehind(catalog, one));
    const own = new Set(member.volumeClaims.map(({ name }) => name));
    const others = names.filter((name) => !own.has(name));
    for (const name of others) left.add(`${member.namespace}/${name}`);
    return others.length > 0 && chosen.includes(member) ? [leftOver(member, others)] : [];
  });
  // A part of a namespace is no place to look for what belongs to nobody.
  if (selection.selector !== undefined || selection.group !== undefined) return behind;
  const known = new Set([
    ...left,
    ...all.flatMap(({ namespace, volumeClaims }) =>
      volumeClaims.map(({ name }) => `${namespace}/${name}`),
    ),
  ]);
  const byClaim = groupBy(uses, ({ namespace, claim }) => `${namespace}/${claim}`);
  const loose = catalog.all(CLAIM).filter((one) => {
    const namespace = namespaceOf(one);
    const isIn = selection.namespaces?.includes(namespace) ?? true;
    if (!isIn || !catalog.sees('pods', namespace)) return false;
    return !isExcluded(one) && !known.has(`${namespace}/${one.metadata?.name ?? ''}`);
  });
  return [
    ...behind,
    ...loose.map((one) =>
      ofNobody(one, byClaim.get(`${namespaceOf(one)}/${one.metadata?.name ?? ''}`) ?? []),
    ),
  ];
}

function leftOver(member: Draft, names: readonly string[]): PlanProblem {
  const many = names.length > 1;
  return {
    code: 'CLAIM_LEFT_BEHIND',
    severity: 'info',
    object: textOf(member),
    message: `The ${many ? 'claims' : 'claim'} ${listed(names)} ${many ? 'are' : 'is'} left from more replicas than it has now: a snapshot does not cut ${many ? 'them' : 'it'}.`,
    fix: `Delete ${many ? 'them' : 'it'} if ${many ? 'their' : 'its'} data is not missed, or scale up again before a snapshot.`,
  };
}

function ofNobody(claim: KubeObject, uses: readonly Use[]): PlanProblem {
  const name = claim.metadata?.name ?? '';
  const [owner] = claim.metadata?.ownerReferences ?? [];
  const made = owner === undefined ? '' : ` It belongs to ${owner.kind}/${owner.name}.`;
  return {
    code: 'CLAIM_OF_NO_MEMBER',
    severity: 'warning',
    object: refText({ kind: CLAIM, name, namespace: namespaceOf(claim) }),
    message: `${whoHas(uses)}, so a snapshot does not cut it.${made}`,
    fix: `If it matters, give it to a workload of the application; if not, label it ${EXCLUDE}: "true", or delete it.`,
  };
}

function whoHas(uses: readonly Use[]): string {
  const owners = (some: readonly Use[]): string =>
    listed([...new Set(some.map(({ owner }) => owner))].toSorted(), 3);
  const running = uses.filter(({ ended }) => !ended);
  if (running.length > 0) return `Only ${owners(running)} mounts it, which is no member`;
  if (uses.length > 0) return `Only pods that have ended mount it (${owners(uses)})`;
  return 'No pod mounts it';
}
