import type { Overdue } from './overdue.ts';

/** What ended a freeze. Every cause but `thaw` makes the verdict inconsistent, with it as reason. */
export type Cause =
  | 'thaw'
  /** A thaw without an id, which may as well have been that of an earlier freeze. */
  | 'thaw-ambiguous'
  | 'lease-expired'
  | 'hold-lost'
  | 'freeze-timeout'
  | 'freeze-failed'
  | 'freeze-aborted'
  | 'caller-gone'
  | 'sidecar-stopped'
  | 'interrupted';

/** The last freeze that ended, as far as this process knows. */
interface Ended {
  readonly id: string;
  readonly at: number;
  readonly consistent: boolean;
  /** Another freeze was refused while this one was under way. */
  readonly contended: boolean;
}

/** What is known in every phase. */
interface Known {
  /** Freezes that have ended by themselves, and whose callers' thaws are still to come. */
  readonly overdue: readonly Overdue[];
}

export interface Thawed extends Known {
  readonly phase: 'thawed';
  readonly last: Ended | null;
}

export interface Freezing extends Known {
  readonly phase: 'freezing';
  readonly id: string;
  readonly ttlMs: number;
  readonly deadline: number;
  readonly contended: boolean;
}

export interface Frozen extends Known {
  readonly phase: 'frozen';
  readonly id: string;
  readonly ttlMs: number;
  readonly expiresAt: number;
  /** No lease of this hold runs longer; `Infinity`: any may. */
  readonly longestMs: number;
  readonly contended: boolean;
}

export interface Thawing extends Known {
  readonly phase: 'thawing';
  readonly id: string;
  readonly cause: Cause;
  readonly contended: boolean;
}

export type LeaseState = Thawed | Freezing | Frozen | Thawing;

export type LeaseEvent =
  | {
      readonly type: 'freeze';
      readonly id: string;
      readonly ttlMs: number;
      readonly timeoutMs: number;
    }
  /** The hold is in place, receipt written; it was taken at `heldAt` and bears no longer lease. */
  | { readonly type: 'held'; readonly heldAt: number; readonly longestMs?: number }
  /** The freeze failed before it was held; rolling back has begun. */
  | { readonly type: 'failed' }
  | { readonly type: 'thaw'; readonly id: string | undefined }
  /** Every caller of a freeze in the making has gone away. */
  | { readonly type: 'gone' }
  | { readonly type: 'lost' }
  /** Nothing is held any more. `held`: the engine's evidence that the hold held until now. */
  | { readonly type: 'released'; readonly held: boolean }
  | { readonly type: 'stop' }
  | { readonly type: 'tick' };

export type Effect =
  /** Begin to make the hold. */
  | { readonly type: 'establish'; readonly id: string }
  /** Abort what is being established, or undo it if it has just arrived. */
  | { readonly type: 'roll-back'; readonly id: string; readonly cause: Cause }
  /** Take the hold's evidence and release it. */
  | { readonly type: 'release'; readonly id: string; readonly cause: Cause }
  /** The lease of this freeze now runs until `expiresAt`. */
  | { readonly type: 'renewed'; readonly id: string; readonly expiresAt: number }
  /** The caller waits for the freeze in the making. */
  | { readonly type: 'join-freeze'; readonly id: string }
  /** The caller waits for the end under way. */
  | { readonly type: 'join-end'; readonly id: string }
  /** The caller gets the answer of the freeze that ended last. */
  | { readonly type: 'repeat'; readonly id: string }
  /**
   * Nobody can tell whose freeze the caller means: once this one has ended, the caller gets its
   * failure, and never its success.
   */
  | { readonly type: 'ambiguous'; readonly id: string }
  | { readonly type: 'refuse-held'; readonly id: string }
  /** Nothing that this thaw could mean is held; an earlier freeze of that id may be on record. */
  | { readonly type: 'not-held' }
  | {
      readonly type: 'conclude';
      readonly id: string;
      readonly consistent: boolean;
      readonly cause: Cause;
    };

export interface Step {
  readonly state: LeaseState;
  readonly effects: readonly Effect[];
}
