import {
  type Anchor,
  anchorIn,
  makeBackups,
  makeCalls,
  pickId,
  pickTimeout,
  type PlannedBackup,
  type PlannedCall,
  type Steps,
} from './callers.ts';
import type { FaultMode } from './engine.ts';
import { Random } from './random.ts';

/** The faults of all engines; {@link FaultMode.faults} come in addition. */
export const FAULTS = [
  'kill-sidecar',
  'term-sidecar',
  'kill-shim',
  'kill-server',
  'stop-server',
  'pause-sidecar',
  'pause-shim',
  'pause-server',
  'net-silent',
  'net-reset',
  'clock-jump',
  'state-full',
  'volume-full',
  'evidence-refused',
  'evidence-removed',
  'second-sidecar',
] as const;
const HOLD_STEPS = ['freeze returned'] as const;
const AFTER_STEPS = ['freeze ended', 'journal removed', 'thaw returned'] as const;

/** Steps of a freeze and its thaw, each observed from outside: at a caller, on the wire, in a folder, in the log. */
function stepsOf({ freezeSteps, thawSteps }: FaultMode): Steps {
  return {
    freeze: [
      'freeze called',
      'freeze requested',
      'journal temporary',
      'journal written',
      ...freezeSteps,
      'journal rewritten',
      'receipt written',
      'frozen',
      'freeze returned',
    ],
    thaw: [
      'thaw called',
      'thaw requested',
      'receipt removed',
      ...thawSteps,
      'verdict kept',
      'freeze ended',
      'journal removed',
    ],
  };
}

export interface PlannedFault extends Anchor {
  /** One of `FAULTS` or of the mode's own. */
  readonly kind: string;
  /** How long a pause, a network cut or a full disk lasts, and how long a killed server stays down. */
  readonly lastsMs: number;
}
export interface Plan {
  /** Name of the run. The ids that its freezes give start with it. */
  readonly run: string;
  /** Id that the main backup gives. */
  readonly id: string | undefined;
  readonly mode: string;
  readonly withThawId: boolean;
  readonly ttlMs: number;
  readonly timeoutMs: number;
  readonly holdMs: number;
  /** `late`: after the lease has expired; `never`: no thaw comes. */
  readonly thaw: 'in-time' | 'late' | 'never';
  readonly thawAfterFailure: boolean;
  /** The main backup repeats a call, with the same key, if it got no answer. */
  readonly retries: boolean;
  readonly wait: boolean;
  readonly others: readonly PlannedBackup[];
  readonly cuts: readonly Anchor[];
  readonly faults: readonly PlannedFault[];
  readonly calls: readonly PlannedCall[];
  readonly restore: boolean;
}

/** The mode that a run of a seed plays. */
export function pickMode(seed: number, run: number, modes: readonly string[]): string {
  return new Random(seed ^ 0x6d6f6465, run).pick(modes);
}

/** The plan of one run: a pure function of its arguments. */
export function makePlan(
  seed: number,
  run: number,
  mode: string,
  facts: FaultMode,
  restoreShare: number,
): Plan {
  const random = new Random(seed, run);
  const steps = stepsOf(facts);
  // Half of the runs are about faults, the others about backups that meet.
  const crowded = random.chance(0.5);
  const thaw = random.chance(crowded ? 0.6 : 0.78)
    ? 'in-time'
    : random.pick(['late', 'never'] as const);
  const short = thaw !== 'in-time' || random.chance(0.35);
  const ttlMs = short ? random.between(400, 1_200) : 6_000;
  const timeoutMs = pickTimeout(random, facts.timeoutsMs, crowded);
  const holdMs = thaw === 'late' ? ttlMs + random.between(0, 400) : random.between(0, 350);
  const count = random.pick(crowded ? [0, 0, 1] : [0, 1, 1, 1, 1, 2, 2]);
  const kinds = [...FAULTS, ...facts.faults];
  const faults = Array.from({ length: count }, () => makeFault(random, kinds, steps, timeoutMs));
  const name = `f${seed}-${run}`;
  const calls = makeCalls(random, thaw === 'never', steps, crowded);
  const others = makeBackups(random, name, steps, crowded, facts.timeoutsMs);
  const cuts: Anchor[] = [{ step: 'freeze returned', delayMs: random.between(0, holdMs) }];
  if (random.chance(0.5)) {
    const outside = random.pick([steps.freeze, steps.thaw, AFTER_STEPS]);
    cuts.push(anchorIn(random, outside));
  }
  return {
    run: name,
    id: pickId(random, name, name, crowded),
    mode,
    withThawId: random.chance(0.75),
    ttlMs,
    timeoutMs,
    holdMs,
    thaw,
    thawAfterFailure: random.chance(0.6),
    retries: random.chance(0.5),
    wait: random.chance(0.2),
    others,
    cuts,
    faults,
    calls,
    restore: random.chance(restoreShare),
  };
}

function makeFault(
  random: Random,
  kinds: readonly string[],
  steps: Steps,
  timeoutMs: number,
): PlannedFault {
  const kind = random.pick(kinds);
  const part = random.next();
  const among = part < 0.4 ? steps.freeze : part < 0.7 ? HOLD_STEPS : steps.thaw;
  const wide = (part >= 0.4 && part < 0.7) || kind === 'evidence-removed';
  const anchor = wide
    ? { step: 'freeze returned', delayMs: random.between(0, 160) }
    : anchorIn(random, among);
  const lastsMs = duration(random, kind, timeoutMs);
  return { kind, ...anchor, lastsMs };
}

/** Mostly longer than a timeout or the shorter leases; some as short as a hiccup. */
function duration(random: Random, kind: string, timeoutMs: number): number {
  const beyond = random.chance(0.2) ? Math.min(timeoutMs, 4_000) : 1_000;
  const common = random.chance(0.7) ? beyond + random.between(50, 600) : random.between(20, 400);
  // The limit for the evidence at thaw is 8 s.
  const stalls = /^(pause-(?!shim|sidecar)|net-silent)/.test(kind);
  const lastsMs = stalls && random.chance(0.08) ? random.between(8_200, 9_500) : common;
  const down = kind === 'kill-server' || kind === 'stop-server';
  return down ? random.between(0, 900) : lastsMs;
}
