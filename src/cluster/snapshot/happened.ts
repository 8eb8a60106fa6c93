import type { Plan } from '../plan/document.ts';
import type { Retained, RunProblem } from './document.ts';
import type { Freeze } from './group-freeze.ts';
import type { CutMember, Scene } from './scene.ts';
import type { Mark } from './steps.ts';
import type { ReadyTarget } from './targets.ts';
import type { CutResult, PlannedClaim } from './volumes.ts';

/** All that a run did and saw. */
export interface Happened {
  readonly id: string;
  readonly group: string;
  readonly startedAt: string;
  readonly calledAt: string;
  readonly plan: Plan;
  readonly revisions: Scene['revisions'];
  readonly writers: Scene['writers'];
  readonly members: readonly CutMember[];
  readonly targets: readonly ReadyTarget[];
  readonly freezes: readonly Freeze[];
  readonly claims: readonly PlannedClaim[];
  readonly cutBegun?: Mark | undefined;
  readonly cutSeen?: Mark | undefined;
  readonly cut?: CutResult | undefined;
  readonly readyMark?: Mark | undefined;
  readonly atEnd?: Scene | undefined;
  readonly leaseHeld: boolean;
  /** Of what a failed run had cut. */
  readonly retained: Retained;
  readonly failures: readonly RunProblem[];
  /** What it found, and what changes no verdict. */
  readonly notes: readonly RunProblem[];
}
