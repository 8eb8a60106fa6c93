import { normalizePod } from '../objects/normalize.ts';
import type { Pod } from '../objects/pod.ts';
import { at, listAt, textAt } from '../objects/kube-object.ts';
import type { PlannedMember } from '../plan/planned.ts';
import { claimsOf } from './pod-volumes.ts';

/** A pod of the source whose data is proven by a copy of it. */
export interface SourcePod {
  readonly name: string;
  readonly pod: Pod;
  /** Its claims that the source has, sorted. */
  readonly claims: readonly string[];
}

/**
 * The pods of a member that mount claims of the source. A workload that runs no pod now is taken by its
 * template. Two pods on one shared claim prove the same data, so that the first is enough. Pure.
 *
 * @param has the names of the claims in the member's namespace that the source has
 */
export function sourcePods(member: PlannedMember, has: ReadonlySet<string>): readonly SourcePod[] {
  const live = member.views.filter((one) => one.live !== undefined);
  const all =
    live.length > 0
      ? live.map(({ live: name = '', pod }) => podOf(name, inPlace(pod, member), has))
      : fromTemplate(member, has);
  const seen = new Set<string>();
  return all
    .filter(({ claims }) => claims.length > 0)
    .toSorted((a, b) => a.name.localeCompare(b.name, 'en', { numeric: true }))
    .filter(({ claims }) => {
      const key = claims.join('\n');
      return seen.has(key) ? false : seen.add(key);
    });
}

function inPlace(pod: Pod, { namespace }: PlannedMember): Pod {
  return { ...pod, metadata: { ...pod.metadata, namespace } };
}

function podOf(name: string, pod: Pod, has: ReadonlySet<string>): SourcePod {
  const claims = [...claimsOf(pod.spec).values()].filter((one) => has.has(one));
  return { name, pod, claims: [...new Set(claims)].toSorted() };
}

function fromTemplate(member: PlannedMember, has: ReadonlySet<string>): readonly SourcePod[] {
  const { object, kind, name } = member;
  const [view] = member.views;
  const pod = inPlace(view?.pod ?? normalizePod(at(object, 'spec', 'template')), member);
  if (kind !== 'StatefulSet') return [podOf(name, pod, has)];
  const templates = listAt(object, 'spec', 'volumeClaimTemplates').flatMap(
    (one) => textAt(one, 'metadata', 'name') ?? [],
  );
  const ordinals = new Set(
    templates.flatMap((template) => {
      const start = `${template}-${name}-`;
      return [...has].flatMap((claim) =>
        claim.startsWith(start) && /^\d+$/.test(claim.slice(start.length))
          ? [Number(claim.slice(start.length))]
          : [],
      );
    }),
  );
  const subdomain = textAt(object, 'spec', 'serviceName');
  return [...ordinals].map((ordinal) => {
    const own = `${name}-${ordinal}`;
    const others = (pod.spec?.volumes ?? []).filter((one) => !templates.includes(one.name));
    const volumes = templates.map((template) => ({
      name: template,
      persistentVolumeClaim: { claimName: `${template}-${own}` },
    }));
    const spec = { ...pod.spec, volumes: [...others, ...volumes], hostname: own };
    const whole = { ...pod, spec: { ...spec, ...(subdomain !== undefined && { subdomain }) } };
    return podOf(own, whole, has);
  });
}
