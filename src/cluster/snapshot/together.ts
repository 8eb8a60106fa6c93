import type { Together } from './document.ts';
import type { MemberFacts, RunFacts } from './facts.ts';
import type { Mark } from './steps.ts';

/** A driver’s time may be cut to whole seconds. */
const ROUNDED_MS = 1_000;

/** How the members of a proven run stand to one another. */
export function togetherOf(facts: RunFacts): Together {
  const { group, members, snapshots, calledAt } = facts;
  const cutAt = snapshots[0]?.cutAt;
  const whole = members.every(
    ({ durable, pods, protection, unfrozen: some = [] }) =>
      some.length === 0 &&
      (protection === 'not-needed' ||
        durable ||
        pods.every(({ freeze }) => freeze?.final?.writesBlocked === true)),
  );
  return group && whole && cutAt !== undefined
    ? { kind: 'exact', ...momentOf(cutAt, facts) }
    : { kind: 'complete-to', at: earliest(members, calledAt) };
}

/**
 * The driver's time, unless this machine knows better: the cut came after it was asked for, and before it
 * was seen.
 */
function momentOf(
  cutAt: string,
  { startedAt, cutBegun, cutSeen }: RunFacts,
): Omit<Together, 'kind'> {
  const time = (mark: Mark | undefined): number => Date.parse(startedAt) + (mark?.ms ?? 0);
  const [from, until] = [time(cutBegun), time(cutSeen)];
  const at = Date.parse(cutAt);
  if (at >= from - ROUNDED_MS && at <= until + ROUNDED_MS) return { at: cutAt };
  const [first, last] = [from, until].map((ms) => new Date(ms).toISOString());
  return { at: first ?? startedAt, ...(last !== undefined && { until: last }), driverAt: cutAt };
}

/** A clock that is ahead must not claim writes that came after the freeze: the earliest of all clocks counts. */
function earliest(members: readonly MemberFacts[], calledAt: string): string {
  const asked = members.flatMap(({ pods }) =>
    pods.flatMap(({ freeze }) => freeze?.held?.requestedAt ?? []),
  );
  return [calledAt, ...asked].reduce((a, b) => (Date.parse(b) < Date.parse(a) ? b : a));
}
