import { Random } from './random.ts';

/** What breaks. */
export const FAULTS = [
  'kill-sidecar',
  'term-sidecar',
  'kill-shim',
  'kill-backend',
  'kill-server',
  'stop-server',
  'pause-sidecar',
  'pause-shim',
  'pause-backend',
  'pause-server',
  'net-silent',
  'net-reset',
  'clock-jump',
  'state-full',
  'volume-full',
  'evidence-refused',
] as const;
/** What callers do that they should not, or may. */
export const CALLS = [
  'double-freeze',
  'cross-freeze',
  'cross-freeze-no-id',
  'renew',
  'early-thaw',
  'double-thaw',
  'foreign-thaw',
] as const;
export type FaultKind = (typeof FAULTS)[number];
export type CallKind = (typeof CALLS)[number];

/** Steps of a freeze, each seen from outside: at a caller, on the wire, in a folder, in the log. */
const FREEZE_STEPS = [
  'freeze called',
  'freeze requested',
  'journal temporary',
  'journal written',
  'slot asked',
  'backup start asked',
  'backup started',
  'backup stop asked',
  'backup stopped',
  'label written',
  'marker asked',
  'marker written',
  'journal rewritten',
  'receipt written',
  'frozen',
  'freeze returned',
] as const;
const THAW_STEPS = [
  'thaw called',
  'thaw requested',
  'receipt removed',
  'check asked',
  'check answered',
  'verdict kept',
  'freeze ended',
  'journal removed',
] as const;
const HOLD_STEPS = ['freeze returned'] as const;
const AFTER_STEPS = ['freeze ended', 'journal removed', 'thaw returned'] as const;

export interface Anchor {
  readonly step: string;
  /** After the step, in milliseconds; 0 is at once. */
  readonly delayMs: number;
}
export interface PlannedFault extends Anchor {
  readonly kind: FaultKind;
  /** How long a pause, a cut or a full disk lasts, and how long a dead server stays down. */
  readonly lastsMs: number;
}
export interface PlannedCall extends Anchor {
  readonly kind: CallKind;
}
export interface Plan {
  readonly id: string;
  readonly withThawId: boolean;
  readonly ttlMs: number;
  readonly timeoutMs: number;
  readonly holdMs: number;
  /** `late`: after the lease; `never`: the lease runs out. */
  readonly thaw: 'in-time' | 'late' | 'never';
  readonly thawAfterFailure: boolean;
  readonly cuts: readonly Anchor[];
  readonly faults: readonly PlannedFault[];
  readonly calls: readonly PlannedCall[];
  readonly restore: boolean;
}

/** The plan of one run; a function of its arguments alone. */
export function makePlan(seed: number, run: number, restoreShare: number): Plan {
  const random = new Random(seed, run);
  const thaw = random.chance(0.78) ? 'in-time' : random.pick(['late', 'never'] as const);
  const short = thaw !== 'in-time' || random.chance(0.35);
  const ttlMs = short ? random.between(400, 1_200) : 6_000;
  const holdMs = thaw === 'late' ? ttlMs + random.between(0, 400) : random.between(0, 350);
  const count = random.pick([0, 1, 1, 1, 1, 2, 2]);
  const faults = Array.from({ length: count }, () => makeFault(random));
  const calls = random.chance(0.35) ? [makeCall(random, thaw)] : [];
  const cuts: Anchor[] = [{ step: 'freeze returned', delayMs: random.between(0, holdMs) }];
  if (random.chance(0.5)) {
    const outside = random.pick([FREEZE_STEPS, THAW_STEPS, AFTER_STEPS]);
    cuts.push(anchorIn(random, outside));
  }
  return {
    id: `f${seed}-${run}`,
    withThawId: random.chance(0.7),
    ttlMs,
    timeoutMs: random.pick([1_000, 4_000, 4_000]),
    holdMs,
    thaw,
    thawAfterFailure: random.chance(0.5),
    cuts,
    faults,
    calls,
    restore: random.chance(restoreShare),
  };
}

function anchorIn(random: Random, steps: readonly string[]): Anchor {
  return { step: random.pick(steps), delayMs: random.chance(0.6) ? 0 : random.between(1, 60) };
}

function makeFault(random: Random): PlannedFault {
  const kind = random.pick(FAULTS);
  const part = random.next();
  const steps = part < 0.4 ? FREEZE_STEPS : part < 0.7 ? HOLD_STEPS : THAW_STEPS;
  const wide = part >= 0.4 && part < 0.7;
  const anchor = wide
    ? { step: 'freeze returned', delayMs: random.between(0, 160) }
    : anchorIn(random, steps);
  // Mostly longer than a timeout of 1 s; some as short as a hiccup.
  const common = random.chance(0.7) ? random.between(1_050, 1_600) : random.between(20, 400);
  // The evidence at thaw has 8 s.
  const stalls = ['pause-server', 'pause-backend', 'net-silent'].includes(kind);
  const lastsMs = stalls && random.chance(0.08) ? random.between(8_200, 9_500) : common;
  const down = kind === 'kill-server' || kind === 'stop-server';
  return { kind, ...anchor, lastsMs: down ? random.between(0, 900) : lastsMs };
}

function makeCall(random: Random, thaw: Plan['thaw']): PlannedCall {
  const kind = random.pick(CALLS);
  if (kind === 'early-thaw' || kind === 'double-freeze') {
    return { kind, step: random.pick(FREEZE_STEPS), delayMs: random.between(0, 40) };
  }
  if (kind === 'double-thaw') {
    return { kind, step: random.pick(['thaw called', 'thaw requested']), delayMs: 0 };
  }
  const during = thaw === 'never' || random.chance(0.5);
  if (during) return { kind, step: 'freeze returned', delayMs: random.between(0, 400) };
  return { kind, ...anchorIn(random, [...FREEZE_STEPS, ...THAW_STEPS]) };
}
