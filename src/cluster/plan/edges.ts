import { QuiesceError } from '../../errors.ts';
import { didYouMean } from '../../lib/command-line/nearest.ts';
import { groupBy } from '../../lib/group-by.ts';
import { APPLICATION } from '../objects/names.ts';
import type { Catalog } from '../inventory/catalog.ts';
import { refText } from '../objects/kube-object.ts';
import { dependenciesOf, orderOf } from './annotations.ts';
import type { PlanProblem } from './document.ts';
import { listed, problemsOfNames } from './many-names.ts';
import type { Draft } from './member.ts';
import { byText, type Edge } from './order.ts';
import type { References } from './references.ts';

/** A hard edge with the statement it comes from, for people. */
export interface HardEdge extends Edge {
  readonly why: string;
  /** It comes from `depends-on` of the later member. */
  readonly named: boolean;
}

export interface HardEdges {
  readonly edges: readonly HardEdge[];
  readonly problems: readonly PlanProblem[];
}

/** What names a member among the nodes of the order. */
export function nodeOf({ namespace, kind, name, object }: Draft): string {
  const group = object.apiVersion?.includes('/') ? object.apiVersion.split('/')[0] : '';
  return `${namespace}/${kind}/${name}/${group}`;
}

interface Unknown {
  readonly member: Draft;
  readonly text: string;
  readonly namespace: string;
  readonly name: string;
}

/**
 * The edges that users state by name.
 *
 * @throws QuiesceError PLAN_SELF_DEPENDENCY, PLAN_UNKNOWN_NAME
 */
export function hardEdges(
  members: readonly Draft[],
  references: References,
  catalog: Catalog,
): HardEdges {
  const chosen = new Set(members);
  const edges: HardEdge[] = [];
  const problems: PlanProblem[] = [];
  const unknown: Unknown[] = [];
  // Of several errors the same one is told, in whatever order the members were read.
  for (const member of members.toSorted((a, b) => byText(nodeOf(a), nodeOf(b)))) {
    for (const text of dependenciesOf(member.annotations)) {
      const target = references.find(text, member);
      if (target.kind === 'unknown') unknown.push({ member, text, ...target });
      else if (target.kind === 'empty') problems.push(selectsNothing(member, target.service));
      else if (target.kind === 'outside') problems.push(outside(member, text, target.why));
      else {
        refuseItself(member, text, target);
        const why = `${APPLICATION.dependsOn} of ${textOf(member)}`;
        for (const one of target.members) {
          if (!chosen.has(one)) problems.push(notAMember(member, one));
          else edges.push({ before: nodeOf(one), after: nodeOf(member), why, named: true });
        }
      }
    }
  }
  problems.push(...unknownNames(unknown, references, catalog));
  return { edges, problems };
}

/** From each member with a number to all with a higher one. */
export function numberEdges(members: readonly Draft[]): readonly HardEdge[] {
  const numbered = members.flatMap((member) => {
    const number = orderOf(member.annotations);
    return number === undefined ? [] : [{ node: nodeOf(member), number }];
  });
  return numbered.flatMap((one) =>
    numbered
      .filter(({ number }) => number > one.number)
      .map(({ node, number }) => ({
        before: one.node,
        after: node,
        why: `${APPLICATION.order} ${one.number} before ${number}`,
        named: false,
      })),
  );
}

function refuseItself(
  member: Draft,
  text: string,
  { members, service }: { members: readonly Draft[]; service?: string },
): void {
  if (!members.includes(member)) return;
  const through = service === undefined ? '' : `: ${service} selects its own pods`;
  const others = members.filter((one) => one !== member).map(({ kind, name }) => `${kind}/${name}`);
  throw new QuiesceError(
    'PLAN_SELF_DEPENDENCY',
    `${textOf(member)} depends on itself: its ${APPLICATION.dependsOn} names ${text}${through}.`,
    others.length === 0
      ? {}
      : { hint: `Name what is meant by its kind: ${listed(others)}, in lower case.` },
  );
}

/** In a fragment of manifests a name may be elsewhere. In a cluster nobody has it, if all could be read. */
function unknownNames(
  unknown: readonly Unknown[],
  references: References,
  catalog: Catalog,
): readonly PlanProblem[] {
  const unread = ({ namespace }: Unknown): boolean =>
    !['services', 'statefulsets.apps', 'deployments.apps', 'daemonsets.apps', 'pods'].every((one) =>
      catalog.sees(one, namespace),
    );
  const missing = catalog.scope === 'cluster' ? unknown.filter((one) => !unread(one)) : [];
  if (missing.length > 0) {
    const all = listed(missing.map(({ member, text }) => `${text} (${textOf(member)})`));
    const [first] = missing;
    const known = first === undefined ? [] : references.names(first.namespace);
    const meant = first === undefined ? '' : didYouMean(first.name, known);
    throw new QuiesceError(
      'PLAN_UNKNOWN_NAME',
      `${APPLICATION.dependsOn} names what no member and no Service is called: ${all}.`,
      meant === '' ? {} : { hint: `Correct the name. ${meant.trim()}` },
    );
  }
  return [...groupBy(unknown, ({ member }) => member)].flatMap(([member, of]) =>
    notFound(member, of),
  );
}

function notFound(member: Draft, unknown: readonly Unknown[]): readonly PlanProblem[] {
  const texts = unknown.map(({ text }) => text);
  return problemsOfNames(texts, (names, several) => ({
    code: 'NAME_NOT_FOUND',
    severity: 'warning',
    object: textOf(member),
    message: `${APPLICATION.dependsOn} names ${names}, which ${several ? 'are' : 'is'} not among the objects that were read.`,
    fix: 'Correct the name, or read what has it, too. --whole-cluster makes this an error.',
  }));
}

function selectsNothing(member: Draft, service: string): PlanProblem {
  return {
    code: 'SERVICE_SELECTS_NOTHING',
    severity: 'warning',
    object: textOf(member),
    message: `It depends on ${service}, whose selector matches the pods of no member: nothing comes before it.`,
    fix: 'Name the member itself, or correct the selector of the Service.',
  };
}

function outside(member: Draft, text: string, why: string): PlanProblem {
  return {
    code: 'DEPENDS_ON_OUTSIDE',
    severity: 'info',
    object: textOf(member),
    message: `It depends on ${text}, which is outside the application: ${why}. Nothing waits for it.`,
  };
}

function notAMember(member: Draft, other: Draft): PlanProblem {
  return {
    code: 'DEPENDS_ON_NO_MEMBER',
    severity: 'warning',
    object: textOf(member),
    message: `It depends on ${textOf(other)}, which is not among the members that were chosen.`,
    fix: `Choose it, too: -n ${other.namespace}, and what --selector or --group asks for.`,
  };
}

export function textOf({ namespace, kind, name }: Draft): string {
  return refText({ namespace, kind, name });
}
