import type { Catalog } from '../inventory/catalog.ts';
import { at, type KubeObject, namespaceOf, textAt } from '../objects/kube-object.ts';
import { controllerOf, hasEnded, type View } from '../inventory/workloads.ts';
import { normalizePod } from '../objects/normalize.ts';
import type { Pod } from '../objects/pod.ts';
import { viewsOf } from './claims.ts';
import type { Draft } from './member.ts';
import { writersOf } from './writers.ts';

/** A pod, or the template of pods, that has a claim as one of its volumes. */
export interface Use {
  readonly namespace: string;
  readonly claim: string;
  readonly volume: string;
  /** The pod; `undefined`: this is a template. */
  readonly pod: string | undefined;
  readonly uid: string | undefined;
  /** The member that it belongs to; `undefined`: none, as of the pod of a Job. */
  readonly member: Draft | undefined;
  readonly view: View | undefined;
  /** What made it, for people: `Job/import`. */
  readonly owner: string;
  /** Its containers have ended for good. */
  readonly ended: boolean;
  /** The containers that may write to the claim. */
  readonly writers: readonly string[];
}

/** Who has which claims: members, and whatever else runs in the cluster or will be made by the manifests. */
export function usesOf(catalog: Catalog, members: readonly Draft[]): readonly Use[] {
  const known = new Set<string>();
  const own = members.flatMap((member) =>
    member.candidate.workloads.flatMap((workload) =>
      viewsOf(workload).flatMap((view) => {
        const name = view.live ?? (workload.kind === 'Pod' ? workload.name : undefined);
        if (name !== undefined) known.add(`${member.namespace}/${name}`);
        return usesOfView(member, view);
      }),
    ),
  );
  const others = catalog.all('Pod').flatMap((object) => {
    const { name = '', uid } = object.metadata ?? {};
    const namespace = namespaceOf(object);
    if (known.has(`${namespace}/${name}`)) return [];
    const pod = normalizePod(object);
    const more = { namespace, pod: name, uid, ended: hasEnded(object), owner: ownerText(object) };
    const started = textAt(object, 'status', 'phase') === 'Running';
    return usesOfPod(pod, started).map((one) => ({ ...NOBODY, ...more, ...one }));
  });
  return [...own, ...others, ...usesOfJobs(catalog)];
}

const NOBODY = { member: undefined, view: undefined } as const;

function usesOfView(member: Draft, view: View): readonly Use[] {
  const { namespace, kind, name, volumeClaims } = member;
  const { pod, live } = view;
  const started = live === undefined || textAt(pod, 'status', 'phase') !== 'Pending';
  const base = { namespace, pod: live, uid: uidOf(pod), member, view, ended: false };
  const owner = `${kind}/${name}`;
  const named = usesOfPod(pod, started);
  const volumes = new Set((pod.spec?.volumes ?? []).map((one) => one.name));
  // A template leaves the volumes of claim templates to the controller.
  const made = volumeClaims.flatMap(({ name: claim, volume, source }) => {
    const absent = source === 'template' && live === undefined && !volumes.has(volume);
    const ephemeral = source === 'ephemeral' && live === undefined && volumes.has(volume);
    if (!absent && !ephemeral) return [];
    return [{ claim, volume, writers: writersOf(pod, { name: volume }, started) }];
  });
  return [...named, ...made].map((one) => ({ ...base, owner, ...one }));
}

function uidOf(pod: Pod): string | undefined {
  return (pod.metadata as { readonly uid?: string } | undefined)?.uid;
}

/** Jobs in manifests, whose pods are not there yet. In a cluster their pods are. */
function usesOfJobs(catalog: Catalog): readonly Use[] {
  const templates = [
    ...catalog.all('Job.batch').map((one) => ({ one, spec: at(one, 'spec') })),
    ...catalog
      .all('CronJob.batch')
      .map((one) => ({ one, spec: at(one, 'spec', 'jobTemplate', 'spec') })),
  ];
  return templates.flatMap(({ one, spec }) => {
    const pod = normalizePod(at(spec, 'template'));
    const owner = `${one.kind ?? ''}/${one.metadata?.name ?? ''}`;
    const more = { namespace: namespaceOf(one), pod: undefined, uid: undefined, owner };
    return usesOfPod(pod, true).map((use) => ({ ...NOBODY, ...more, ended: false, ...use }));
  });
}

type Mount = Pick<Use, 'claim' | 'volume' | 'writers'>;

function usesOfPod(pod: Pod, started: boolean): readonly Mount[] {
  return (pod.spec?.volumes ?? []).flatMap((volume): Mount[] => {
    const named = textAt(volume, 'persistentVolumeClaim', 'claimName');
    const made = at(volume, 'ephemeral') === undefined ? undefined : pod.metadata?.name;
    const claim = named ?? (made === undefined ? undefined : `${made}-${volume.name}`);
    if (claim === undefined) return [];
    return [{ claim, volume: volume.name, writers: writersOf(pod, volume, started) }];
  });
}

function ownerText(pod: KubeObject): string {
  const owner = controllerOf(pod) ?? { kind: 'Pod', name: pod.metadata?.name ?? '' };
  return `${owner.kind}/${owner.name}`;
}
