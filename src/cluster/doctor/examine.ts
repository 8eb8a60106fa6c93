import { isDeepStrictEqual } from 'node:util';
import type { PodFacts } from '../inventory/pod-facts.ts';
import type { Inventory } from '../inventory/catalog.ts';
import { type ObjectRef, refText } from '../objects/kube-object.ts';
import { type Finding, type PodRule, type RuleText, type Report, SEVERITIES } from './rule.ts';
import { CLUSTER_RULES, POD_RULES } from './rules/index.ts';
import { NOT_LOOKED_AT, notExaminedFinding } from './rules/not-examined.ts';
import { type ClusterFacts, survey } from '../inventory/survey.ts';
import type { Workload } from '../inventory/workloads.ts';

/**
 * `protected`: it has a sidecar and no error; `opted-in`: the same, once the webhook has added the
 * sidecar; `half`: it is meant to be protected, but has an error; `unprotected`: a database that nothing
 * freezes; `left-out`: its owner excludes it; `other`: it has no volumes, or no database that quiesce
 * knows.
 */
export type State = 'protected' | 'opted-in' | 'half' | 'unprotected' | 'left-out' | 'other';

/** The state of one workload. */
export interface WorkloadState {
  readonly object: ObjectRef;
  readonly state: State;
}

export interface Examined {
  /** The most severe first. */
  readonly findings: readonly Finding[];
  readonly workloads: readonly WorkloadState[];
  /** How many objects were examined, by kind. */
  readonly looked: Readonly<Record<string, number>>;
}

/**
 * Applies all rules to plain objects. A pure function.
 *
 * @param probed findings from the answers of running sidecars
 */
export function examine(inventory: Inventory, probed: readonly Finding[] = []): Examined {
  const { around, byWorkload } = survey(inventory);
  const findings: Finding[] = [];
  const workloads: WorkloadState[] = [];
  for (const [workload, facts] of byWorkload) {
    const own = probed.filter(({ object }) => isDeepStrictEqual(object, refOfWorkload(workload)));
    const merged = merge([...checkPods(workload, facts, around), ...own]);
    findings.push(...merged);
    workloads.push({ object: refOfWorkload(workload), state: stateOf(facts ?? [], merged) });
  }
  for (const rule of CLUSTER_RULES) {
    for (const { object, report } of rule.check(around))
      findings.push(finding(rule, object, report));
  }
  findings.push(...inventory.unexamined.map(notExaminedFinding));
  return { findings: inOrder(findings), workloads, looked: count(byWorkload) };
}

/** Reports a malformed object, which an API server would refuse, so that it cannot stop the examination. */
function checkPods(
  workload: Workload,
  facts: readonly PodFacts[] | undefined,
  around: ClusterFacts,
): readonly Finding[] {
  try {
    if (facts !== undefined) {
      return facts.flatMap((one) => POD_RULES.flatMap((rule) => judge(rule, one, around)));
    }
  } catch {
    // Reported below.
  }
  const message = 'It could not be examined: it is not a well-formed workload.';
  return [finding(NOT_LOOKED_AT, refOfWorkload(workload), message)];
}

function judge(rule: PodRule, facts: PodFacts, around: ClusterFacts): readonly Finding[] {
  // The owner excludes this workload on purpose, so most findings would be noise.
  if (facts.optIn === 'false' && facts.sidecar === undefined && !rule.always) return [];
  const object = refOfWorkload(facts.workload);
  const { live } = facts.view;
  const several = facts.workload.kind !== 'Pod' && live !== undefined;
  return [...rule.check(facts, around)].map((report) => ({
    ...finding(rule, object, report),
    pods: several ? [live] : [],
  }));
}

function finding(rule: RuleText, object: ObjectRef, report: Report): Finding {
  const { message, fix, severity } =
    typeof report === 'string'
      ? { message: report }
      : (report as {
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

/** Merges equal findings of several pods of one workload, or of its pods and its template. */
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

function stateOf(facts: readonly PodFacts[], findings: readonly Finding[]): State {
  if (facts.some(({ optIn }) => optIn === 'false')) return 'left-out';
  const errors = findings.some(({ severity }) => severity === 'error');
  const wanted = facts.some(
    ({ optIn, sidecar, native }) =>
      optIn !== undefined || sidecar !== undefined || native !== undefined,
  );
  if (findings.some(({ code }) => code === 'UNPROTECTED')) return 'unprotected';
  if (errors) return 'half';
  if (!wanted) return facts.some(({ unfrozen }) => unfrozen) ? 'left-out' : 'other';
  const hasSidecar = facts.some(
    ({ sidecar, injection }) => sidecar !== undefined && injection === undefined,
  );
  return hasSidecar ? 'protected' : 'opted-in';
}

function refOfWorkload({ kind, namespace, name }: Workload): ObjectRef {
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

function count(byWorkload: ReadonlyMap<Workload, unknown>): Readonly<Record<string, number>> {
  const counts: Record<string, number> = {};
  const add = (kind: string): void => void (counts[kind] = (counts[kind] ?? 0) + 1);
  for (const [{ kind, views }] of byWorkload) {
    if (kind !== 'Pod') add(kind);
    for (const { live } of views) if (kind === 'Pod' || live !== undefined) add('Pod');
  }
  return counts;
}
