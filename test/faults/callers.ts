import type { Random } from './random.ts';

/**
 * Single calls in addition to those of the backups. `double-freeze`, `cross-freeze` and
 * `cross-freeze-no-id` freeze and never thaw. `early-thaw` and `double-thaw` are operators that thaw
 * without --abandon. `retry-thaw` sends the main backup's thaw once more, with its key.
 */
const CALLS = [
  'double-freeze',
  'cross-freeze',
  'cross-freeze-no-id',
  'renew',
  'early-thaw',
  'double-thaw',
  'foreign-thaw',
  'retry-thaw',
  'abandon',
  'abandon-no-id',
] as const;
export type CallKind = (typeof CALLS)[number];
/** Operators that use a thaw to release. */
export const HANDS: readonly string[] = ['early-thaw', 'double-thaw'];

/** The ids of backups: each its own, one static id for all, or none. */
const NAMINGS = ['own', 'own', 'shared', 'none'] as const;
/** The same, mostly with backups that cannot be distinguished by id. */
const ALIKE = ['own', 'shared', 'shared', 'none', 'none'] as const;

/** The steps after which another backup meets the main one. */
const MEETINGS = [
  'freeze returned',
  'freeze returned',
  'thaw called',
  'thaw requested',
  'freeze ended',
  'thaw returned',
] as const;

export interface Anchor {
  readonly step: string;
  /** Milliseconds after the step; 0: immediately. */
  readonly delayMs: number;
}
export interface PlannedCall extends Anchor {
  readonly kind: CallKind;
}

/** Another backup, independent of the main one: it freezes, copies and thaws. */
export interface PlannedBackup extends Anchor {
  readonly id: string | undefined;
  readonly withThawId: boolean;
  readonly ttlMs: number;
  readonly timeoutMs: number;
  readonly holdMs: number;
  /** It waits for its turn while another freeze is held. */
  readonly wait: boolean;
  /** It copies and thaws even if its freeze was refused or failed, as with on-error: Continue. */
  readonly goesOn: boolean;
  /** It repeats a call, with the same key, if the connection broke. */
  readonly retries: boolean;
}

/** Steps of a freeze and of its thaw, in order. */
export interface Steps {
  readonly freeze: readonly string[];
  readonly thaw: readonly string[];
}

/** @param crowded several backups meet that cannot be distinguished by id */
export function pickId(random: Random, run: string, own: string, crowded: boolean) {
  const naming = random.pick<(typeof NAMINGS)[number]>(crowded ? ALIKE : NAMINGS);
  if (naming === 'none') return undefined;
  return naming === 'own' ? own : `${run}-s`;
}

export function makeBackups(
  random: Random,
  run: string,
  steps: Steps,
  crowded: boolean,
  timeoutsMs: readonly number[],
): PlannedBackup[] {
  const count = crowded ? random.between(1, 3) : random.pick([0, 0, 1, 1, 2]);
  return Array.from({ length: count }, (_, at) => {
    const anywhere = random.pick([MEETINGS, steps.freeze, steps.thaw]);
    return {
      step: random.pick(crowded ? MEETINGS : anywhere),
      delayMs: random.chance(0.4) ? 0 : random.between(1, 300),
      id: pickId(random, run, `${run}-o${at}`, crowded),
      withThawId: random.chance(0.75),
      ttlMs: random.chance(0.3) ? random.between(400, 1_200) : 6_000,
      timeoutMs: pickTimeout(random, timeoutsMs, crowded),
      holdMs: random.chance(0.2) ? random.between(400, 1_600) : random.between(0, 300),
      wait: random.chance(0.4),
      goesOn: random.chance(crowded ? 0.9 : 0.6),
      retries: random.chance(0.5),
    };
  });
}

/** Some are so short that the freeze fails, at any step. */
export function pickTimeout(
  random: Random,
  timeoutsMs: readonly number[],
  crowded: boolean,
): number {
  return crowded && random.chance(0.2) ? random.between(5, 150) : random.pick(timeoutsMs);
}

export function makeCalls(
  random: Random,
  runsOut: boolean,
  steps: Steps,
  crowded: boolean,
): PlannedCall[] {
  if (!random.chance(crowded ? 0.5 : 0.35)) return [];
  const count = crowded ? random.between(1, 2) : 1;
  return Array.from({ length: count }, () => makeCall(random, runsOut, steps));
}

/** @param runsOut the main backup never thaws */
function makeCall(random: Random, runsOut: boolean, steps: Steps): PlannedCall {
  const kind = random.pick(CALLS);
  if (kind === 'early-thaw' || kind === 'double-freeze') {
    return { kind, step: random.pick(steps.freeze), delayMs: random.between(0, 40) };
  }
  if (kind === 'retry-thaw') {
    // Never before the thaw itself: the backup has no copy yet.
    const step = random.pick(['thaw called', 'thaw returned']);
    return { kind, step, delayMs: random.between(0, 200) };
  }
  if (kind === 'double-thaw') {
    const step = random.pick(['thaw called', 'thaw requested', 'freeze ended', 'thaw returned']);
    return { kind, step, delayMs: random.chance(0.5) ? 0 : random.between(1, 60) };
  }
  const during = runsOut || random.chance(0.5);
  if (during) return { kind, step: 'freeze returned', delayMs: random.between(0, 400) };
  return { kind, ...anchorIn(random, [...steps.freeze, ...steps.thaw]) };
}

export function anchorIn(random: Random, steps: readonly string[]): Anchor {
  return { step: random.pick(steps), delayMs: random.chance(0.6) ? 0 : random.between(1, 60) };
}
