import type { PlanProblem } from './document.ts';

/** An annotation that a program has written may have thousands of names. */
const MOST = 20;

/** At most as many names as a person reads, and how many more there are. */
export function listed(names: readonly string[], most = MOST): string {
  const more = names.length - most;
  const shown = names.slice(0, most).join(', ');
  return more > 0 ? `${shown} and ${more} more` : shown;
}

/** One problem for each name; beyond some, one for all the rest. */
export function problemsOfNames(
  names: readonly string[],
  problem: (names: string, several: boolean) => PlanProblem,
): readonly PlanProblem[] {
  const rest = names.slice(MOST);
  return [
    ...names.slice(0, MOST).map((name) => problem(name, false)),
    ...(rest.length > 0 ? [problem(listed(rest), true)] : []),
  ];
}
