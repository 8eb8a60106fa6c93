import type { Breach } from '../engines/engine.ts';
import type { DueThaw } from './due-thaws.ts';

/** What ended a freeze. Every cause but `thaw` makes the verdict inconsistent, with it as reason. */
export type Cause =
  | 'thaw'
  /** A thaw which may as well have been that of another freeze. */
  | 'thaw-ambiguous'
  /** Somebody released it without taking its success. */
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

/** The freeze that is open, or that has ended last. */
export interface Owner {
  readonly id: string;
  /** Its caller gave the id; otherwise it was made, and the caller's thaw may come without one. */
  readonly named: boolean;
  /** The idempotency key of the call that began it. */
  readonly key?: string;
}

/** What is known in every phase. */
interface Remembered {
  /** Thaws that are still to come, and are not that of the open freeze. */
  readonly due: readonly DueThaw[];
  /** Ids of which a further freeze was refused: what is on record of them is an earlier freeze. */
  readonly refused: readonly string[];
}

export interface Thawed extends Remembered {
  readonly phase: 'thawed';
  /** The freeze that ended last, as far as this process knows. */
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
  /** No lease of this hold runs longer; `Infinity`: any may. */
  readonly longestMs: number;
}

export interface Thawing extends Remembered, Owner {
  readonly phase: 'thawing';
  readonly cause: Cause;
  /** How long thaws may be late of those that were refused meanwhile. */
  readonly windowMs: number;
}

export type LeaseState = Thawed | Freezing | Frozen | Thawing;

export type LeaseEvent =
  | {
      readonly type: 'freeze';
      readonly id: string;
      readonly named: boolean;
      /** An earlier freeze on record was held with this id: several backups share it. */
      readonly shared: boolean;
      readonly key?: string;
      readonly ttlMs: number;
      readonly timeoutMs: number;
    }
  | { readonly type: 'renew'; readonly id: string; readonly ttlMs: number }
  /** A caller that waited for its turn has given up, and may thaw all the same. */
  | {
      readonly type: 'gave-up';
      readonly id: string;
      readonly named: boolean;
      readonly key?: string;
      readonly ttlMs: number;
    }
  /** The hold is in place, receipt written; it was taken at `heldAt` and bears no longer lease. */
  | { readonly type: 'held'; readonly heldAt: number; readonly longestMs?: number }
  /** The freeze failed before it was held; rolling back has begun. */
  | { readonly type: 'failed' }
  | { readonly type: 'thaw'; readonly id: string | undefined }
  | { readonly type: 'abandon'; readonly id: string | undefined }
  /** The caller of a freeze in the making has gone away. */
  | { readonly type: 'gone' }
  | { readonly type: 'lost' }
  /** Nothing is held any more. `evidence`: what speaks against the hold; none: it held until now. */
  | { readonly type: 'released'; readonly evidence: readonly Breach[] }
  | { readonly type: 'stop' }
  | { readonly type: 'tick' };

/** What is to be carried out, in this order. */
export type Command =
  /** Begin to make the hold. */
  | { readonly type: 'make-hold'; readonly id: string }
  /** Abort what is being established, or undo it if it has just arrived. */
  | { readonly type: 'roll-back'; readonly id: string; readonly cause: Cause }
  /** Take the hold's evidence and release it. */
  | { readonly type: 'release'; readonly id: string; readonly cause: Cause };

/** What the caller of this very event is told. */
export type Reply =
  /** Nobody waits for an answer to this event. */
  | { readonly type: 'none' }
  /** The freeze has begun. */
  | { readonly type: 'began'; readonly id: string }
  /** Another freeze is open. */
  | { readonly type: 'refused'; readonly id: string }
  /** The lease of this freeze now runs until `expiresAt`. */
  | { readonly type: 'renewed'; readonly id: string; readonly expiresAt: number }
  /** This request ends the freeze: to it alone a success is told. */
  | { readonly type: 'ends'; readonly id: string }
  /** The end is under way by something else: the caller waits for it, and gets no success. */
  | { readonly type: 'joins'; readonly id: string }
  /** It has ended before: the caller gets what is on record of it, and no success. */
  | { readonly type: 'ended'; readonly id: string }
  /** Nothing that this request could mean is open; an earlier freeze of that id may be on record. */
  | { readonly type: 'not-held' }
  /** The freeze has ended with this verdict: the only one there is. */
  | { readonly type: 'verdict'; readonly id: string; readonly verdict: Verdict };

export interface Step {
  readonly state: LeaseState;
  readonly commands: readonly Command[];
  readonly reply: Reply;
}
