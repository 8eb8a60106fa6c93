import type { ObjectRef } from '../objects/kube-object.ts';
import type { PodFacts } from '../inventory/pod-facts.ts';
import type { ClusterFacts } from '../inventory/survey.ts';

/** `error`: backups fail or prove nothing; `warning`: they may; `info`: worth knowing. */
export const SEVERITIES = ['error', 'warning', 'info'] as const;
export type Severity = (typeof SEVERITIES)[number];

/** One problem of one object. */
export interface Finding {
  readonly code: string;
  readonly severity: Severity;
  readonly object: ObjectRef;
  /** Names of the running pods with the problem; empty for a single pod, and for a problem of a template. */
  readonly pods: readonly string[];
  /** A sentence that does not repeat the name of the object. */
  readonly message: string;
  readonly fix: string;
}

/** What a rule reports. A string is the message; fix and severity default to those of the rule. */
export type Report =
  string | { readonly message: string; readonly fix?: string; readonly severity?: Severity };

/** The documentation of a code, for docs/doctor.md. */
export interface RuleText {
  readonly code: string;
  readonly severity: Severity;
  /** The problem, in a few words. */
  readonly title: string;
  readonly why: string;
  readonly fix: string;
}

/** Examines one pod, or the template of many. */
export interface PodRule extends RuleText {
  /** Applies also to pods without a sidecar on purpose, which are still part of their application. */
  readonly always?: true;
  check(facts: PodFacts, around: ClusterFacts): Iterable<Report>;
}

/** Examines what all pods share. */
export interface ClusterRule extends RuleText {
  check(around: ClusterFacts): Iterable<{ readonly object: ObjectRef; readonly report: Report }>;
}
