import type { Breach } from '../engines/engine.ts';
import type { DueThaw } from './due-thaws.ts';

/** What ended a freeze. Every cause except `thaw` makes the verdict inconsistent and is its reason. */
export type Cause =
  | 'thaw'
  /** A thaw that may have been meant for another freeze. */
  | 'thaw-ambiguous'
  /** A caller released it without claiming a success. */
  | 'abandoned'
  | 'lease-expired'
  | 'hold-lost'
  | 'freeze-timeout'
  | 'freeze-failed'
  | 'freeze-aborted'
  | 'caller-gone'
  | 'sidecar-stopped'
  | 'interrupted';

export interface Verdict {
  readonly consistent: boolean;
  readonly cause: Cause;
  readonly evidence: readonly Breach[];
}

/** Identifies a freeze and its caller. */
export interface Owner {
  readonly id: string;
  /** Whether the caller gave the id. Otherwise it was generated, and the caller may thaw without one. */
  readonly named: boolean;
  /** The idempotency key of the call that started it. */
  readonly key?: string;
}

/** Fields of every phase. */
interface Remembered {
  /** Thaws still expected from callers of other freezes than the open one. */
  readonly due: readonly DueThaw[];
  /** Ids whose latest freeze was refused: the receipt on record belongs to an earlier freeze. */
  readonly refused: readonly string[];
}

export interface Thawed extends Remembered {
  readonly phase: 'thawed';
  /** The last freeze that ended, as far as this process knows. */
  readonly last: { readonly id: string } | null;
}

interface Open extends Remembered, Owner {
  readonly ttlMs: number;
}

export interface Freezing extends Open {
  readonly phase: 'freezing';
  readonly deadline: number;
}

export interface Frozen extends Open {
  readonly phase: 'frozen';
  readonly expiresAt: number;
  /** The longest lease that this hold allows; `Infinity`: any. */
  readonly longestMs: number;
}

export interface Thawing extends Remembered, Owner {
  readonly phase: 'thawing';
  readonly cause: Cause;
  /** How long after the end the callers refused in the meantime may still thaw. */
  readonly windowMs: number;
}

export type LeaseState = Thawed | Freezing | Frozen | Thawing;

export type LeaseEvent =
  | {
      readonly type: 'freeze';
      readonly id: string;
      readonly named: boolean;
      /** A freeze on record was held under this id: several backups share it. */
      readonly shared: boolean;
      readonly key?: string;
      readonly ttlMs: number;
      readonly timeoutMs: number;
    }
  | { readonly type: 'renew'; readonly id: string; readonly ttlMs: number }
  /** A caller that waited for its turn has given up. It may still send a thaw. */
  | {
      readonly type: 'gave-up';
      readonly id: string;
      readonly named: boolean;
      readonly key?: string;
      readonly ttlMs: number;
    }
  /** The hold is in place and its receipt written. It was taken at `heldAt` and allows leases up to `longestMs`. */
  | { readonly type: 'held'; readonly heldAt: number; readonly longestMs?: number }
  /** The freeze failed before its hold was in place. */
  | { readonly type: 'failed' }
  | { readonly type: 'thaw'; readonly id: string | undefined }
  | { readonly type: 'abandon'; readonly id: string | undefined }
  /** The caller disconnected before the hold was in place. */
  | { readonly type: 'gone' }
  | { readonly type: 'lost' }
  /** Nothing is held any more. `evidence` is what speaks against the hold; empty: it held until now. */
  | { readonly type: 'released'; readonly evidence: readonly Breach[] }
  | { readonly type: 'stop' }
  | { readonly type: 'tick' };

/** The runner carries out every command, in order. */
export type Command =
  /** Start making the hold. */
  | { readonly type: 'make-hold'; readonly id: string }
  /** Abort the hold in the making, or undo it if it has just been made. */
  | { readonly type: 'roll-back'; readonly id: string; readonly cause: Cause }
  /** Collect the hold's evidence and release it. */
  | { readonly type: 'release'; readonly id: string; readonly cause: Cause };

/** The answer to the caller of this event. */
export type Reply =
  /** No caller waits for an answer to this event. */
  | { readonly type: 'none' }
  /** The freeze has started. */
  | { readonly type: 'began'; readonly id: string }
  /** Another freeze is open. */
  | { readonly type: 'refused'; readonly id: string }
  /** The lease of this freeze now expires at `expiresAt`. */
  | { readonly type: 'renewed'; readonly id: string; readonly expiresAt: number }
  /** This request ends the freeze. It alone may report a success. */
  | { readonly type: 'ends'; readonly id: string }
  /** Something else is already ending the freeze. The caller waits for that end and gets no success. */
  | { readonly type: 'joins'; readonly id: string }
  /** The freeze has already ended. The caller gets the receipt on record and no success. */
  | { readonly type: 'ended'; readonly id: string }
  /** This request matches no open freeze. An earlier freeze with that id may be on record. */
  | { readonly type: 'not-held' }
  /** The freeze has ended with this verdict, which is final. */
  | { readonly type: 'verdict'; readonly id: string; readonly verdict: Verdict };

export interface Step {
  readonly state: LeaseState;
  readonly commands: readonly Command[];
  readonly reply: Reply;
}
