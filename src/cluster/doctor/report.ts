import type { Examined, State } from './examine.ts';
import { plainly } from '../../lib/command-line/printable.ts';
import { counted } from '../../lib/counted.ts';
import type { Scope, Unexamined } from '../inventory/catalog.ts';
import { type ObjectRef, refText } from '../objects/kube-object.ts';
import { type Finding, SEVERITIES, type Severity } from './rule.ts';
import { NOT_LOOKED_AT } from './rules/not-examined.ts';
import { OPERATOR_RESOURCE } from './rules/operators.ts';

/** The output of `-o json`. Fields keep their names and meanings; new ones may be added. */
export interface Diagnosis {
  readonly apiVersion: 'quiesce.dev/v1';
  readonly kind: 'Diagnosis';
  /** The context and its server, or the files. */
  readonly source: string;
  readonly scope: Scope;
  /** Everything that the result depends on could be examined. */
  readonly complete: boolean;
  readonly summary: {
    /** How many workloads and pods were examined, by kind. */
    readonly looked: Readonly<Record<string, number>>;
    readonly workloads: Readonly<Record<State, number>>;
    readonly findings: Readonly<Record<Severity, number>>;
  };
  readonly findings: readonly NamedFinding[];
  /** Every workload but those whose state is `other`. */
  readonly workloads: readonly (Named & { readonly state: State })[];
  readonly notLookedAt: readonly Unexamined[];
}

/** An object as text, like in a plan (`shop StatefulSet/db`), and its parts. */
interface Named extends ObjectRef {
  readonly object: string;
}

export type NamedFinding = Omit<Finding, 'object'> & Named;

function named(object: ObjectRef): Named {
  return { object: refText(object), ...object };
}

const STATES: readonly State[] = [
  'protected',
  'opted-in',
  'half',
  'unprotected',
  'left-out',
  'other',
];
const STATE_WORDS: Readonly<Record<State, string>> = {
  protected: 'protected',
  'opted-in': 'waiting for a sidecar from the webhook',
  half: 'half-configured',
  unprotected: 'unprotected',
  'left-out': 'excluded on purpose',
  other: 'without a database to protect',
};

/** What could not be seen: objects that were not read, and pods that an operator will make. */
const UNSEEN: readonly string[] = [NOT_LOOKED_AT.code, OPERATOR_RESOURCE];

export function diagnose(
  { findings, workloads, looked }: Examined,
  {
    source,
    scope,
    unexamined,
  }: { source: string; scope: Scope; unexamined: readonly Unexamined[] },
): Diagnosis {
  const states = STATES.map((state) => [
    state,
    workloads.filter((one) => one.state === state).length,
  ]);
  const severities = SEVERITIES.map((severity) => [
    severity,
    findings.filter((one) => one.severity === severity).length,
  ]);
  return {
    apiVersion: 'quiesce.dev/v1',
    kind: 'Diagnosis',
    source,
    scope,
    complete: !findings.some(({ code, severity }) => UNSEEN.includes(code) && severity !== 'info'),
    summary: {
      looked,
      workloads: Object.fromEntries(states) as Record<State, number>,
      findings: Object.fromEntries(severities) as Record<Severity, number>,
    },
    findings: findings.map(({ object, ...rest }) => ({ ...rest, ...named(object) })),
    workloads: workloads
      .filter(({ state }) => state !== 'other')
      .map(({ object, state }) => ({ ...named(object), state })),
    notLookedAt: unexamined,
  };
}

/** 7: findings at or above the severity; else 2: something could not be examined; else 0. */
export function exitOf({ findings, complete }: Diagnosis, failOn: Severity): number {
  const most = SEVERITIES.indexOf(failOn);
  const counted = findings.filter(({ code }) => code !== NOT_LOOKED_AT.code);
  if (counted.some(({ severity }) => SEVERITIES.indexOf(severity) <= most)) return 7;
  return complete ? 0 : 2;
}

/** The report for people: each finding with its fix, then a summary of what was examined. */
export function describeDiagnosis(given: Diagnosis): string {
  const diagnosis = plainly(given);
  const { findings, summary, source, scope } = diagnosis;
  const width = Math.max(...findings.map(({ code }) => code.length), 4);
  const blocks = findings.map((finding) => block(finding, width));
  const looked = Object.entries(summary.looked).map(([kind, number]) => counted(number, kind));
  const states = STATES.filter((state) => summary.workloads[state] > 0).map(
    (state) => `${summary.workloads[state]} ${STATE_WORDS[state]}`,
  );
  const counts = SEVERITIES.filter((one) => summary.findings[one] > 0).map((one) =>
    one === 'info' ? `${summary.findings[one]} info` : counted(summary.findings[one], one),
  );
  const what = looked.length === 0 ? 'no workloads' : looked.join(', ');
  const lines = [
    `Examined ${what} (${source})${states.length > 0 ? `: ${states.join(', ')}` : ''}.`,
    ...(scope === 'part' ? [PART] : []),
    counts.length === 0 ? 'No findings.' : `${counts.join(', ')}.`,
    ...(diagnosis.complete
      ? []
      : [`Not everything could be examined: see ${UNSEEN.join(' and ')}.`]),
  ];
  return [...blocks, lines.join('\n')].join('\n\n');
}

const PART =
  'Objects outside these files, such as Velero or the webhook, were not checked (--whole-cluster reports them as missing).';

function block(
  { severity, code, object, pods, message, fix }: NamedFinding,
  width: number,
): string {
  const shown = pods.length > 3 ? [...pods.slice(0, 3), `and ${pods.length - 3} more`] : pods;
  const where = pods.length === 0 ? '' : ` (${shown.join(', ')})`;
  return [
    `${severity.toUpperCase().padEnd(7)}  ${code.padEnd(width)}  ${object}${where}`,
    `         ${message}`,
    `         Fix: ${fix}`,
  ].join('\n');
}
