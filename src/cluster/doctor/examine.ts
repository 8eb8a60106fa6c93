import { isDeepStrictEqual } from 'node:util';
import type { Facts } from '../inventory/pod-facts.ts';
import { type Inventory, type ObjectRef, refText } from '../inventory/catalog.ts';
import { type Finding, type PodRule, type RuleText, type Said, SEVERITIES } from './rule.ts';
import { CLUSTER_RULES, POD_RULES } from './rules/index.ts';
import { NOT_LOOKED_AT, unseenFinding } from './rules/not-examined.ts';
import { type Surroundings, survey } from '../inventory/survey.ts';
import type { Subject } from '../inventory/workloads.ts';

/**
 * `protected`: has its sidecar, and no error stands against it; `opted-in`: the same, once the webhook
 * has added the sidecar; `half`: meant to be protected, with an error; `unprotected`: a database that nothing freezes; `left-out`: on purpose;
 * `other`: no volumes, or no database that quiesce knows.
 */
export type State = 'protected' | 'opted-in' | 'half' | 'unprotected' | 'left-out' | 'other';

/** What became of one workload. */
export interface Judged {
  readonly object: ObjectRef;
  readonly state: State;
}

export interface Examined {
  /** The gravest first. */
  readonly findings: readonly Finding[];
  readonly workloads: readonly Judged[];
  /** By kind. */
  readonly looked: Readonly<Record<string, number>>;
}

/**
 * Looks at plain objects and names all that is wrong with them. A pure function.
 *
 * @param probed what running sidecars have said of themselves
 */
export function examine(inventory: Inventory, probed: readonly Finding[] = []): Examined {
  const { around, bySubject } = survey(inventory);
  const findings: Finding[] = [];
  const workloads: Judged[] = [];
  for (const [subject, facts] of bySubject) {
    const own = probed.filter(({ object }) => isDeepStrictEqual(object, refOfSubject(subject)));
    const merged = merge([...judgeAll(subject, facts, around), ...own]);
    findings.push(...merged);
    workloads.push({ object: refOfSubject(subject), state: stateOf(facts ?? [], merged) });
  }
  for (const rule of CLUSTER_RULES) {
    for (const { object, said } of rule.check(around)) findings.push(finding(rule, object, said));
  }
  findings.push(...inventory.unseen.map(unseenFinding));
  return { findings: inOrder(findings), workloads, looked: count(bySubject) };
}

/** An object that no API server would take must not end the look at all others: it is named. */
function judgeAll(
  subject: Subject,
  facts: readonly Facts[] | undefined,
  around: Surroundings,
): readonly Finding[] {
  try {
    if (facts !== undefined) {
      return facts.flatMap((one) => POD_RULES.flatMap((rule) => judge(rule, one, around)));
    }
  } catch {
    // As below.
  }
  const message = 'It was not looked at: it has not the shape of what runs pods.';
  return [finding(NOT_LOOKED_AT, refOfSubject(subject), message)];
}

function judge(rule: PodRule, facts: Facts, around: Surroundings): readonly Finding[] {
  // Whoever leaves something out on purpose has nothing to be told of it.
  if (facts.optIn === 'false' && facts.sidecar === undefined && !rule.always) return [];
  const object = refOfSubject(facts.subject);
  const { live } = facts.view;
  const several = facts.subject.kind !== 'Pod' && live !== undefined;
  return [...rule.check(facts, around)].map((said) => ({
    ...finding(rule, object, said),
    pods: several ? [live] : [],
  }));
}

function finding(rule: RuleText, object: ObjectRef, said: Said): Finding {
  const { message, fix, severity } =
    typeof said === 'string'
      ? { message: said }
      : (said as {
          message: string;
          fix?: string;
          severity?: Finding['severity'];
        });
  return {
    code: rule.code,
    severity: severity ?? rule.severity,
    object,
    pods: [],
    message,
    fix: fix ?? rule.fix,
  };
}

/** What several pods of one workload, or they and their template, have in common is said once. */
function merge(findings: readonly Finding[]): readonly Finding[] {
  const byText = new Map<string, Finding>();
  for (const one of findings) {
    const key = `${one.code}\n${one.message}`;
    const before = byText.get(key);
    byText.set(
      key,
      before === undefined ? one : { ...before, pods: [...before.pods, ...one.pods] },
    );
  }
  return [...byText.values()];
}

function stateOf(facts: readonly Facts[], findings: readonly Finding[]): State {
  if (facts.some(({ optIn }) => optIn === 'false')) return 'left-out';
  const errors = findings.some(({ severity }) => severity === 'error');
  const meant = facts.some(
    ({ optIn, sidecar, native }) =>
      optIn !== undefined || sidecar !== undefined || native !== undefined,
  );
  if (findings.some(({ code }) => code === 'UNPROTECTED')) return 'unprotected';
  if (errors) return 'half';
  if (!meant) return facts.some(({ unfrozen }) => unfrozen) ? 'left-out' : 'other';
  const there = facts.some(
    ({ sidecar, injection }) => sidecar !== undefined && injection === undefined,
  );
  return there ? 'protected' : 'opted-in';
}

function refOfSubject({ kind, namespace, name }: Subject): ObjectRef {
  return { kind, name, namespace };
}

function inOrder(findings: readonly Finding[]): readonly Finding[] {
  const rank = ({ severity }: Finding): number => SEVERITIES.indexOf(severity);
  return findings.toSorted(
    (a, b) =>
      rank(a) - rank(b) ||
      refText(a.object).localeCompare(refText(b.object)) ||
      a.code.localeCompare(b.code),
  );
}

function count(bySubject: ReadonlyMap<Subject, unknown>): Readonly<Record<string, number>> {
  const counts: Record<string, number> = {};
  const add = (kind: string): void => void (counts[kind] = (counts[kind] ?? 0) + 1);
  for (const [{ kind, views }] of bySubject) {
    if (kind !== 'Pod') add(kind);
    for (const { live } of views) if (kind === 'Pod' || live !== undefined) add('Pod');
  }
  return counts;
}
