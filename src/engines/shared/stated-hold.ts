import type { Breach, Hold, HoldEnd, JsonObject, Probe } from '../engine.ts';

/** The properties of a hold that never change. */
export type Statement = Pick<
  Hold,
  | 'mode'
  | 'server'
  | 'writesBlocked'
  | 'position'
  | 'restore'
  | 'reasons'
  | 'notes'
  | 'journal'
  | 'needsReceipt'
>;

/** A hold with fixed properties, so that an engine's own class implements only check and release. */
export abstract class StatedHold implements Hold {
  readonly mode: string;
  readonly server: Probe;
  readonly writesBlocked: boolean;
  readonly position: JsonObject;
  readonly restore: JsonObject;
  readonly reasons: readonly string[];
  readonly notes: readonly string[];
  readonly journal: JsonObject;
  readonly needsReceipt: boolean;

  constructor(statement: Statement) {
    this.mode = statement.mode;
    this.server = statement.server;
    this.writesBlocked = statement.writesBlocked;
    this.position = statement.position;
    this.restore = statement.restore;
    this.reasons = statement.reasons;
    this.notes = statement.notes;
    this.journal = statement.journal;
    this.needsReceipt = statement.needsReceipt ?? false;
  }

  abstract get lost(): AbortSignal;
  abstract check(signal: AbortSignal): Promise<readonly Breach[]>;
  abstract release(signal: AbortSignal): Promise<HoldEnd | void>;
}
