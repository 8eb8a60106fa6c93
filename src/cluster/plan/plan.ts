import { QuiesceError } from '../../errors.ts';
import { groupBy } from '../../lib/group-by.ts';
import { Catalog, type Inventory } from '../inventory/catalog.ts';
import { orderOf } from './annotations.ts';
import { type Arranged, arrange } from './arrange.ts';
import { claimProblems } from './classes.ts';
import type { Plan, PlanMember, PlanProblem } from './document.ts';
import { hardEdges, type HardEdge, nodeOf } from './edges.ts';
import { type Frozen, frozenOf, frozenProblems } from './frozen.ts';
import { gather } from './gather.ts';
import { keptOf } from './kept/index.ts';
import { looseClaims } from './loose-claims.ts';
import { type Draft, draftsOf } from './member.ts';
import { byText } from './order.ts';
import type { PlannedMember } from './planned.ts';
import { checkNames } from './names.ts';
import { notPlacedProblems } from './placed.ts';
import { memberProblems, notJudgedProblems, notReadProblems } from './problems.ts';
import { References } from './references.ts';
import { isChosen, nameOf, type Selection } from './selection.ts';
import { nameFrom } from './soft-edges.ts';
import { type Use, usesOf } from './uses.ts';

export interface Planned {
  readonly plan: Plan;
  /** Its members with what the plan rests on, in the order of its layers. */
  readonly members: readonly PlannedMember[];
  readonly catalog: Catalog;
  /** Who has which claims, members or not. */
  readonly uses: readonly Use[];
}

/**
 * Plans an application. A pure function.
 *
 * @param known what is already in the way
 * @param inventory what was read; its `namespaces` are ignored, the selection chooses among its objects
 * @throws QuiesceError MANIFEST_INVALID, NO_MEMBERS, PLAN_CYCLE, PLAN_SELF_DEPENDENCY, PLAN_UNKNOWN_NAME
 */
export function planOf(
  inventory: Inventory,
  selection: Selection,
  known: readonly PlanProblem[] = [],
): Planned {
  checkNames(inventory.objects);
  const catalog = new Catalog({ ...inventory, namespaces: undefined });
  const { candidates, notJudged, problems } = gather(catalog);
  const all = draftsOf(catalog, candidates);
  const chosen = all.filter((one) => isChosen(selection, one));
  if (chosen.length === 0) throw nobody(selection, all, catalog);
  const uses = usesOf(catalog, all);
  const frozen = frozenOf(chosen, uses);
  const references = new References(catalog, all, notJudged);
  const hard = hardEdges(chosen, references, catalog);
  const { layers, directly, dropped } = arrange(chosen, hard.edges);
  const byNode = new Map(chosen.map((one) => [nodeOf(one), one]));
  const into = groupBy(hard.edges, ({ after }) => after);
  const planned = layers.map((layer) =>
    layer.map((one) => finish(one, into.get(nodeOf(one)) ?? [], { byNode, directly, frozen })),
  );
  const members = planned.flat();
  const kept = keptOf(members, catalog);
  const namespaces = [...new Set(members.map(({ namespace }) => namespace))].toSorted(byText);
  const isIn = (namespace: string): boolean =>
    selection.namespaces === undefined || selection.namespaces.includes(namespace);
  const found = [
    ...chosen.flatMap((one) => [
      ...memberProblems(one),
      ...frozenProblems(one, frozen.get(one), catalog),
      ...claimProblems(one, catalog),
    ]),
    ...hard.problems,
    ...dropped,
    ...problems,
    ...notJudgedProblems(notJudged, isIn),
    ...notReadProblems(catalog),
    ...notPlacedProblems(catalog),
    ...looseClaims(catalog, { all, chosen, uses }, selection),
    ...kept.problems,
    ...known,
  ];
  const plan: Plan = {
    apiVersion: 'quiesce.dev/v1',
    kind: 'Plan',
    group: nameOf(selection, namespaces),
    namespaces,
    layers: planned.map((layer) => ({ members: layer.map(documented) })),
    problems: sorted(found),
    notKept: kept.notKept,
  };
  return { plan, members, catalog, uses };
}

function nobody(
  { namespaces, group, selector }: Selection,
  all: readonly Draft[],
  { unexamined }: Catalog,
): QuiesceError {
  const where = namespaces === undefined ? '' : ` in ${namespaces.join(', ')}`;
  const group_ = group === undefined ? '' : ` of the group ${group}`;
  const chosen = selector === undefined ? '' : ' with these labels';
  const others = [...new Set(all.map(({ namespace }) => namespace))].toSorted(byText).slice(0, 5);
  const missed = unexamined.filter(({ optional }) => !optional).map(({ resource }) => resource);
  const hint =
    missed.length > 0
      ? `Not all could be read: allow get and list of ${[...new Set(missed)].join(', ')}.`
      : others.length > 0
        ? `Check --namespace, --selector and --group; there are workloads in ${others.join(', ')}.`
        : 'Members are StatefulSets, Deployments, DaemonSets, ReplicaSets, Pods and known custom resources.';
  return new QuiesceError('NO_MEMBERS', `There is no workload${group_}${chosen}${where}.`, {
    hint,
  });
}

/** A list for people and programs: the rest of a stage of hundreds is in the layers. */
const MOST_AFTER = 20;

function finish(
  draft: Draft,
  named: readonly HardEdge[],
  {
    byNode,
    directly,
    frozen,
  }: {
    byNode: ReadonlyMap<string, Draft>;
    frozen: ReadonlyMap<Draft, Frozen>;
  } & Pick<Arranged, 'directly'>,
): PlannedMember {
  const {
    candidate: _,
    place,
    annotationProblems: __,
    facts: _____,
    podLabels: ___,
    services: ____,
    ...rest
  } = draft;
  const namesOf = (some: readonly Draft[]): readonly string[] =>
    [...new Set(some.map((one) => nameFrom(draft, one)))].toSorted(byText);
  const number = orderOf(draft.annotations);
  const dependsOn = namesOf(named.flatMap(({ before }) => byNode.get(before) ?? []));
  const known = new Set(dependsOn);
  const others = namesOf(directly(draft)).filter((one) => !known.has(one));
  const omitted = Math.max(0, others.length - MOST_AFTER);
  return {
    ...rest,
    ...frozen.get(draft),
    from: dependsOn.length > 0 || number !== undefined ? 'annotation' : place.from,
    after: [...dependsOn, ...others.slice(0, MOST_AFTER)].toSorted(byText),
    ...(omitted > 0 && { afterOmitted: omitted }),
    dependsOn,
    ...(number !== undefined && { order: number }),
  };
}

/** The fields of the document only. */
function documented(member: PlannedMember): PlanMember {
  const {
    object: _,
    annotations: __,
    views: ___,
    volumeClaims: ____,
    revision: _____,
    ...rest
  } = member;
  return rest;
}

const SEVERITIES = ['error', 'warning', 'info'];

function sorted(problems: readonly PlanProblem[]): readonly PlanProblem[] {
  const unique = new Map(problems.map((one) => [JSON.stringify(one), one]));
  return [...unique.values()].toSorted(
    (a, b) =>
      SEVERITIES.indexOf(a.severity) - SEVERITIES.indexOf(b.severity) ||
      byText(a.object, b.object) ||
      byText(a.code, b.code) ||
      byText(a.message, b.message),
  );
}
