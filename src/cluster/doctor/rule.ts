import type { ObjectRef } from '../inventory/catalog.ts';
import type { Facts } from '../inventory/pod-facts.ts';
import type { Surroundings } from '../inventory/survey.ts';

/** `error`: a backup proves nothing or fails; `warning`: it may; `info`: worth knowing. */
export const SEVERITIES = ['error', 'warning', 'info'] as const;
export type Severity = (typeof SEVERITIES)[number];

/** One thing that is wrong with one object. */
export interface Finding {
  readonly code: string;
  readonly severity: Severity;
  readonly object: ObjectRef;
  /** Names of the running pods that show it, where the object has several. */
  readonly pods: readonly string[];
  /** A sentence, without the name of the object. */
  readonly message: string;
  readonly fix: string;
}

/** What a rule says; a text is the message. */
export type Said =
  string | { readonly message: string; readonly fix?: string; readonly severity?: Severity };

/** What docs/doctor.md says of a code. */
export interface RuleText {
  readonly code: string;
  readonly severity: Severity;
  /** What is the case, in a few words. */
  readonly title: string;
  readonly why: string;
  readonly fix: string;
}

/** Looks at one pod, or at the template of many. */
export interface PodRule extends RuleText {
  /** Also of what has no sidecar on purpose: it is no less a part of its application. */
  readonly always?: true;
  check(facts: Facts, around: Surroundings): Iterable<Said>;
}

/** Looks at what all pods share. */
export interface ClusterRule extends RuleText {
  check(around: Surroundings): Iterable<{ readonly object: ObjectRef; readonly said: Said }>;
}
