import type { RestoreLevel } from '../../receipt/restore-level.ts';
import type { MemberRef, PlanMember } from '../plan/document.ts';

/** Something that keeps a member from being whole, in words that end the search. */
export interface Cause {
  /** In upper case: `IMAGE_NOT_PULLED`, `SECRET_MISSING`, `CRASH_LOOP`. */
  readonly code: string;
  readonly message: string;
  /** What to do about it. */
  readonly hint?: string;
  /** `KIND/NAME`, with the namespace before it: `shop Pod/db-0`. */
  readonly object: string;
  /** Whether time alone can mend it. `false`: waiting is in vain. */
  readonly passing: boolean;
}

/** How a member stands. */
export interface MemberState {
  readonly member: MemberRef;
  /** Its pods are ready, its controller's rules hold, its resource says Ready, its Services have endpoints. */
  readonly ready: boolean;
  /** All its sidecars have judged their data, or it has none to judge. */
  readonly judged: boolean;
  /** The lowest level of its sidecars; absent: none has restored data to judge. */
  readonly level?: RestoreLevel;
  /** The words of the sidecar with that level. */
  readonly message?: string;
  /** The id of the freeze in whose hold its data was copied, where a sidecar says it. */
  readonly receipts: readonly string[];
  readonly causes: readonly Cause[];
}

/** Looks at members as they are now. Used by restore, validate and drill alike. */
export interface Health {
  /** Resolves in the order of the members. @throws QuiesceError if the API server does not answer */
  look(members: readonly PlanMember[], signal: AbortSignal): Promise<readonly MemberState[]>;
}
