import type { Breach, CopyMethod, Receipt } from '../receipt/receipt.ts';

export type { Breach } from '../receipt/receipt.ts';

/** What a freeze does to a replica: lets it follow its primary, or makes it stand still. */
export const REPLICA_MODES = ['run', 'pause'] as const;
export type ReplicaMode = (typeof REPLICA_MODES)[number];

export type Json =
  null | boolean | number | string | readonly Json[] | { readonly [key: string]: Json };
export type JsonObject = Readonly<Record<string, Json>>;

/** What is wrong with one setting; carries no value, for it could be a secret. */
export interface SettingIssue {
  readonly name: string;
  readonly message: string;
}

export interface Capabilities {
  /** Writers wait while a hold is in place; decides the default lease. */
  readonly blocksWrites: boolean;
  /** The copy methods for which a hold keeps its promise. */
  readonly copies: readonly CopyMethod[];
}

/** What a server says of itself. */
export interface Probe {
  /** As the server prints it, e.g. `17.10`. */
  readonly version: string;
  /** The field's word: `primary`, `standby`, … */
  readonly role: string;
  /** What tells this server's data from any other's, e.g. `systemIdentifier`. */
  readonly identity: Readonly<Record<string, string>>;
}

/** What the coordinator lends an engine for one freeze. */
export interface FreezeContext {
  readonly id: string;
  readonly copy: CopyMethod;
  /** The lease that will begin with the hold: what a server's own dead-man's switch is set by. */
  readonly ttlMs: number;
  /** Says where a long step is, for status and log: one short sentence. */
  progress(sentence: string): void;
  /**
   * Writes files a restore must put back to `.quiesce/` on the data volume: durable (fsync of file
   * and directory) when it returns. Where there is no volume or it cannot take them, the receipt
   * says so and the freeze goes on: it never throws for that.
   */
  keep(files: Readonly<Record<string, string>>): Promise<void>;
  /**
   * Puts what `recover` needs into the journal, durably: to be awaited before anything is done to
   * the server that outlives this process. Replaced by the hold's own `journal`. Where `hold` rejects
   * after it, `recover` is called with it until that succeeds, whatever `hold` has undone itself.
   */
  remember(journal: JsonObject): Promise<void>;
}

/** What the end of a hold adds to what is known. */
export interface HoldEnd {
  readonly breaches: readonly Breach[];
  /** Replaces these keys of the receipt's `position` and `restore`. */
  readonly position?: JsonObject;
  readonly restore?: JsonObject;
}

/** A database that is held. Made by {@link Engine.hold}, ended by `release`, exactly once. */
export interface Hold {
  /** `sealed`, `crash-consistent`, … : what a copy made during the hold is. */
  readonly mode: string;
  readonly server: Probe;
  readonly writesBlocked: boolean;
  /** The position at the moment of the hold, in the engine's own terms. */
  readonly position: JsonObject;
  /** What a restore must put back or may expect. No secrets. */
  readonly restore: JsonObject;
  /** Codes that qualify the promise, e.g. why the mode is the weaker one. Not failures. */
  readonly reasons: readonly string[];
  /** Sentences for those who read the receipt. */
  readonly notes: readonly string[];
  /**
   * A restore cannot tell a copy without this freeze's receipt from one that needs nothing, and would
   * start it as it is: a volume that cannot take the receipt then fails the freeze.
   */
  readonly needsReceipt?: boolean;
  /** What `recover` needs to release this hold from another process. */
  readonly journal: JsonObject;
  /** Aborts, with a list of `Breach` as reason, when the hold is known to be broken. */
  readonly lost: AbortSignal;
  /**
   * No lease of this hold, nor any renewal, runs for longer than this: set where holding on endangers
   * more than the writers who wait.
   */
  readonly longestLeaseMs?: number;
  /**
   * Asks the server whether the hold held since it was made; called before `release`.
   *
   * @returns what speaks against it; nothing: it held.
   */
  check(signal: AbortSignal): Promise<readonly Breach[]>;
  /**
   * Tells the server that the lease now runs for `ttlMs` from here, where it has a dead-man's switch
   * of its own. Rejects when the server could not be told: the lease is then not renewed.
   */
  renew?(ttlMs: number, signal: AbortSignal): Promise<void>;
  /**
   * Lets the database go, and puts back every setting the hold has changed. Safe when the server is
   * gone; throws only if something may still be held, and is then called again. What is left for a
   * while on purpose (a slot that keeps WAL for a later cut) blocks nobody and ends with `close`.
   *
   * @returns what only the end can tell: a backup that had to be ended with evidence of its own.
   */
  release(signal: AbortSignal): Promise<HoldEnd | void>;
}

/** One line of a verification. */
export interface VerifyCheck {
  readonly name: string;
  /** `true` proven, `false` differs or cannot be proven. */
  readonly ok: boolean;
  readonly expected?: Json;
  readonly found?: Json;
  /** What differs, or why it could not be proven; or how it was proven. */
  readonly message: string;
}

export interface VerifyResult {
  /** Every check is `ok`. */
  readonly verified: boolean;
  readonly checks: readonly VerifyCheck[];
}

export interface VerifyOptions {
  /** Run the engine's own deep check of the data too (PostgreSQL: amcheck). */
  readonly deep: boolean;
  /** Ends the deep check, in milliseconds: on a corrupt copy it can loop for long. */
  readonly deepTimeoutMs: number;
}

/**
 * One database engine. Every method that takes a signal rejects soon after it aborts and leaves
 * nothing held behind. Errors are `QuiesceError`s with an `ENGINE_…` code or `COPY_UNSUPPORTED`.
 *
 * Order for a freeze: `prepare`, then `hold`; each at most once a freeze.
 */
export interface Engine {
  readonly name: string;
  readonly capabilities: Capabilities;
  /** Reaches the server and says who it is. Cheap: readiness is asked with it. */
  probe(signal: AbortSignal): Promise<Probe>;
  /** The slow part that blocks nobody; refuses here what `hold` could not promise. */
  prepare(context: FreezeContext, signal: AbortSignal): Promise<void>;
  /**
   * Holds the database. Once the signal has aborted it must not end with a hold in place: one that
   * arrives late is released before this rejects.
   */
  hold(context: FreezeContext, signal: AbortSignal): Promise<Hold>;
  /** What an operator needs beside the data. No secrets. */
  metadata(signal: AbortSignal): Promise<JsonObject>;
  /**
   * Releases what a crashed sidecar may have left held. Idempotent, and harmless where nothing is held.
   *
   * @param journal what `remember` or the hold's `journal` said last; `null`: nothing was ever done to
   * the server, or the entry cannot be read. What others hold is not released on a guess.
   */
  recover(journal: JsonObject | null, signal: AbortSignal): Promise<void>;
  /** Does this running server contain what the receipt promises? */
  verify(receipt: Receipt, options: VerifyOptions, signal: AbortSignal): Promise<VerifyResult>;
  close(): Promise<void>;
}

/** An engine's own settings, with `NAME_FILE` already resolved. */
export type Settings = Readonly<Record<string, string | undefined>>;

export interface EngineOptions {
  readonly settings: Settings;
  /** QUIESCE_DATA_DIR. */
  readonly dataDir: string | undefined;
  /** QUIESCE_REPLICA, default `run`; an engine that cannot pause a replica ignores it. */
  readonly replica?: ReplicaMode;
  /** Called with what a replica has taken to catch up with its primary, also when it did not. */
  readonly onReplicaWait?: (seconds: number) => void;
}

/** What the `index.ts` of an engine exports. */
export interface EngineModule {
  /** What is wrong with the engine's own settings, by name. */
  readonly checkSettings: (settings: Settings) => readonly SettingIssue[];
  readonly createEngine: (options: EngineOptions) => Engine;
}
