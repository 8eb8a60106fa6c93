import type { MemberRef, Plan, PlanLayer, PlanMember } from '../plan/document.ts';

export type Namespaces = ReadonlyMap<string, string>;

/** The plan as it is in the namespaces of the target. */
export function mapPlan(plan: Plan, namespaces: Namespaces): Plan {
  const to = (namespace: string): string => namespaces.get(namespace) ?? namespace;
  const layers = plan.layers.map(({ members }): PlanLayer => ({
    members: members.map((one) => mapMember(one, to)),
  }));
  return {
    ...plan,
    namespaces: [...new Set(plan.namespaces.map(to))],
    layers,
    notKept: plan.notKept.map((one) => ({
      ...one,
      member: { ...one.member, namespace: to(one.member.namespace) },
    })),
  };
}

function mapMember(member: PlanMember, to: (namespace: string) => string): PlanMember {
  const name = (text: string): string => {
    const parts = text.split('/');
    return parts.length < 3 ? text : [to(parts[0] ?? ''), ...parts.slice(1)].join('/');
  };
  return {
    ...member,
    namespace: to(member.namespace),
    after: member.after.map(name),
    dependsOn: member.dependsOn.map(name),
  };
}

/** Identifies a member. */
export function keyOf({ namespace, kind, name }: MemberRef): string {
  return `${namespace}/${kind}/${name}`;
}

/** `NAMESPACE KIND/NAME`, as other reports say it. */
export function textOf({ namespace, kind, name }: MemberRef): string {
  return `${namespace} ${kind}/${name}`;
}

/** The keys of the members that this one's own annotation names. */
export function dependenciesOf({ namespace, dependsOn }: PlanMember): readonly string[] {
  return dependsOn.map((text) => (text.split('/').length < 3 ? `${namespace}/${text}` : text));
}

export function refOf({ namespace, kind, name }: MemberRef): MemberRef {
  return { namespace, kind, name };
}
