import { groupBy } from '../../lib/group-by.ts';
import type { StagedMember, Stages } from '../gates/stages.ts';
import { Catalog } from '../inventory/catalog.ts';
import { at, type KubeObject, labelsOf, namespaceOf } from '../objects/kube-object.ts';
import type { Workload } from '../inventory/workloads.ts';
import { CONTAINER, INJECT_LABEL } from '../objects/names.ts';
import type { Plan, PlanMember } from '../plan/document.ts';
import { gather } from '../plan/gather.ts';
import { keyOf } from './mapped.ts';
import type { Source } from './source.ts';

/** Tells which pods are whose, in the words of the source. */
export class StageBook {
  readonly #plan: Plan;
  readonly #held: ReadonlySet<string>;
  readonly #catalog: Catalog;
  readonly #workloads: ReadonlyMap<string, readonly Workload[]>;

  constructor({ plan, objects = [], held = new Set() }: Pick<Source, 'plan' | 'objects' | 'held'>) {
    this.#plan = plan;
    this.#held = held;
    this.#catalog = new Catalog({ objects, scope: 'cluster', unexamined: [], now: 0 });
    const { candidates } = gather(this.#catalog);
    this.#workloads = new Map(candidates.map((one) => [keyOf(one), one.workloads]));
  }

  /**
   * The stages of one namespace of the source.
   *
   * @param keptBack members, by their key in the source, that are never released: they follow all layers
   */
  of(namespace: string, keptBack: ReadonlySet<string> = new Set()): Stages {
    const mine = ({ members }: Plan['layers'][number]): readonly PlanMember[] =>
      members.filter((one) => one.namespace === namespace && this.#waits(one) !== 'no');
    const layers = this.#plan.layers.map(mine);
    const now = layers.map((all) => all.filter((one) => !keptBack.has(keyOf(one))));
    const never = layers.flat().filter((one) => keptBack.has(keyOf(one)));
    const named = (kind: string): string[] =>
      this.#catalog
        .all(kind)
        .filter((one) => namespaceOf(one) === namespace)
        .flatMap(({ metadata }) => metadata?.name ?? []);
    return {
      layers: [...now, ...(never.length > 0 ? [never] : [])].map((all) =>
        all.map((one) => this.#staged(one)),
      ),
      jobs: named('Job.batch'),
      cronJobs: named('CronJob.batch'),
      last: Math.max(0, layers.length - 1),
    };
  }

  /** Members whose pods cannot wait: their volumes need them on a node, and no init container holds them. */
  unstaged(): readonly PlanMember[] {
    return this.#plan.layers.flatMap(({ members }) =>
      members.filter((one) => this.#waits(one) === 'no'),
    );
  }

  /** Members whose pods wait in their init container. */
  held(): readonly PlanMember[] {
    return this.#plan.layers.flatMap(({ members }) =>
      members.filter((one) => this.#waits(one) === 'held'),
    );
  }

  #waits(member: PlanMember): 'gated' | 'held' | 'no' {
    const { namespace, pods } = member;
    if (!pods.some((pod) => this.#held.has(`${namespace}/${pod}`))) return 'gated';
    const views = (this.#workloads.get(keyOf(member)) ?? []).flatMap((one) => one.views);
    const injected = views.every(
      ({ pod }) =>
        labelsOf(pod)[INJECT_LABEL] === 'true' ||
        pod.spec?.containers?.some(({ name }) => name === CONTAINER) === true,
    );
    return views.length > 0 && injected ? 'held' : 'no';
  }

  #staged(member: PlanMember): StagedMember {
    const workloads = this.#workloads.get(keyOf(member)) ?? [];
    const own = workloads.filter(({ kind }) => kind !== 'Pod');
    const owners = [member, ...own].filter(({ kind }) => kind !== 'Pod');
    const selectors = [...own.flatMap(selectorOf), ...operatorSelector(member, workloads)];
    return {
      kind: member.kind,
      name: member.name,
      ...(selectors.length > 0 && { selectors }),
      pods: [...member.pods],
      owners: [...new Set(owners.map(({ kind, name }) => `${kind}/${name}`))],
      ...(this.#waits(member) === 'held' && { hold: true }),
    };
  }
}

/** An empty selector would select every pod of the namespace. */
function selectorOf({ object }: Workload): readonly Record<string, unknown>[] {
  const selector = at(object, 'spec', 'selector');
  if (typeof selector !== 'object' || selector === null) return [];
  const full = Object.values(selector as Record<string, unknown>).some(
    (one) => Object.keys(one ?? {}).length > 0,
  );
  return full ? [selector as Record<string, unknown>] : [];
}

/**
 * Pods that an operator makes by itself, or by Jobs, carry the name of its resource in labels. All of the
 * labels that all of its pods have with that value count together.
 */
function operatorSelector(
  { kind, name }: PlanMember,
  workloads: readonly Workload[],
): readonly Record<string, unknown>[] {
  const pods = workloads.filter((one) => one.kind === 'Pod' && kind !== 'Pod');
  const [first, ...others] = pods.map(({ object }) => labelsOf(object));
  if (first === undefined) return [];
  const common = Object.entries(first).filter(
    ([key, value]) => value === name && others.every((one) => one[key] === value),
  );
  return common.length === 0 ? [] : [{ matchLabels: Object.fromEntries(common) }];
}

/** The Namespaces of the source, by name. */
export function namespacesIn(objects: readonly KubeObject[]): ReadonlyMap<string, KubeObject> {
  const named = groupBy(
    objects.filter(({ kind }) => kind === 'Namespace'),
    ({ metadata }) => metadata?.name ?? '',
  );
  return new Map([...named].flatMap(([name, [one]]) => (one === undefined ? [] : [[name, one]])));
}
