import { entryOf, isEngine } from '../../engines/names.ts';
import { podsOf } from './claims.ts';
import type { PlanProblem } from './document.ts';
import { textOf } from './edges.ts';
import { EXCLUDE } from './left-out.ts';
import type { Draft } from './member.ts';

/** Members of a set that cannot all be held at once: the sidecar refuses the freeze that costs the majority. */
export function majorityProblems(member: Draft): readonly PlanProblem[] {
  const { engine, candidate, leftOut } = member;
  if (engine === undefined || !isEngine(engine) || entryOf(engine).keepsMajority !== true)
    return [];
  const left = new Set(leftOut?.pods);
  return candidate.workloads.flatMap((workload): readonly PlanProblem[] => {
    const pods = podsOf(workload);
    const held = pods.filter((one) => !left.has(one));
    const majority = Math.floor(pods.length / 2) + 1;
    // A single one may have its majority in another workload, such as one with an arbiter.
    if (held.length < 2 || pods.length - held.length >= majority) return [];
    const kept = held.at(-1) ?? '';
    return [
      {
        code: 'MAJORITY_NOT_KEPT',
        severity: 'error',
        object: textOf(member),
        message: `A snapshot would freeze ${held.length} of its ${pods.length} pods at once. As members of one replica set they refuse that: those left could not elect a primary.`,
        fix: `Back up one of them, a secondary such as ${kept}: label the pods and claims of the others ${EXCLUDE}: "true".`,
      },
    ];
  });
}
