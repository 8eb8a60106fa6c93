import type { Breach, CopyMethod, Receipt } from '../receipt/receipt.ts';

export type { Breach } from '../receipt/receipt.ts';

/** During a freeze a replica keeps following its primary (`run`) or stops applying changes (`pause`). */
export const REPLICA_MODES = ['run', 'pause'] as const;
export type ReplicaMode = (typeof REPLICA_MODES)[number];

export type Json =
  null | boolean | number | string | readonly Json[] | { readonly [key: string]: Json };
export type JsonObject = Readonly<Record<string, Json>>;

/** A problem with one setting. Never contains the value, which could be a secret. */
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

/** How a server identifies itself. */
export interface Probe {
  /** As the server prints it, e.g. `17.10`. */
  readonly version: string;
  /** In the usual term: `primary`, `standby`, … */
  readonly role: string;
  /** Distinguishes this server's data from any other's, e.g. by `systemIdentifier`. */
  readonly identity: Readonly<Record<string, string>>;
}

/** What the coordinator gives to an engine for one freeze. */
export interface FreezeContext {
  readonly id: string;
  readonly copy: CopyMethod;
  /** Every volume is copied before the thaw: a freeze that needs a copy after it is refused. */
  readonly thawLast?: boolean;
  /** The lease that begins with the hold. A server's own dead-man's switch is set to it. */
  readonly ttlMs: number;
  /** Milliseconds until the timeout ends the freeze, where it has one. */
  remainingMs?(): number;
  /** Reports the progress of a long step for status and log: one short sentence. */
  progress(sentence: string): void;
  /**
   * Writes the files that a restore must put in place to `.quiesce/` on the data volume. They are durable
   * (fsync of file and directory) when it resolves. Never rejects for a missing volume or one that cannot
   * take them: the receipt says so, and the freeze goes on.
   */
  keep(files: Readonly<Record<string, string>>): Promise<void>;
  /**
   * Writes the entry that `recover` needs to the journal, durably. Await it before any change to the server
   * that outlives this process. The hold's own `journal` replaces it. If `hold` rejects afterwards,
   * `recover` is called with this entry until it succeeds, whatever `hold` has undone itself.
   */
  remember(journal: JsonObject): Promise<void>;
}

/** Facts that are known only at the end of a hold. */
export interface HoldEnd {
  readonly breaches: readonly Breach[];
  /** Replaces these keys of the receipt's `position` and `restore`. */
  readonly position?: JsonObject;
  readonly restore?: JsonObject;
}

/** A database that is held. Made by {@link Engine.hold}; ended by `release`, exactly once. */
export interface Hold {
  /** What a copy made during the hold is: `sealed`, `crash-consistent`, … */
  readonly mode: string;
  readonly server: Probe;
  readonly writesBlocked: boolean;
  /** The position at the moment of the hold, in the engine's own terms. */
  readonly position: JsonObject;
  /** What a restore must put in place or may expect. No secrets. */
  readonly restore: JsonObject;
  /** Codes that qualify the promise, e.g. why the mode is a weaker one. Not failures. */
  readonly reasons: readonly string[];
  /** Sentences for the reader of the receipt. */
  readonly notes: readonly string[];
  /**
   * Without this freeze's receipt, a restore would start the copy unprepared, and wrongly. If true, a volume
   * that cannot take the receipt fails the freeze.
   */
  readonly needsReceipt?: boolean;
  /**
   * The files on the data volume that may not be on the disk, at most a hundred by name; empty: all are.
   * Absent where none had to be synced.
   */
  readonly unsynced?: readonly string[];
  /** What `recover` needs to release this hold from another process. */
  readonly journal: JsonObject;
  /** Aborts, with a list of `Breach` as reason, when the hold is known to be broken. */
  readonly lost: AbortSignal;
  /**
   * The longest time for which a lease of this hold or a renewal may run. Set where a long hold endangers
   * more than the writers that wait.
   */
  readonly longestLeaseMs?: number;
  /**
   * Asks the server whether the hold held since it was made. Called before `release`.
   *
   * @returns the breaches found; none: it held.
   */
  check(signal: AbortSignal): Promise<readonly Breach[]>;
  /**
   * Extends the server's own dead-man's switch, where it has one, to a lease of `ttlMs` from now. Rejects if
   * that fails: the lease is then not renewed.
   */
  renew?(ttlMs: number, signal: AbortSignal): Promise<void>;
  /**
   * Releases the database, and restores every setting that the hold changed. Safe when the server is gone.
   * Rejects only if something may still be held, and is then called again. What is kept for a while on
   * purpose (a slot that keeps WAL for a later cut) blocks no client and ends with `close`.
   *
   * @returns facts known only at the end, such as those of a backup that ended with the hold.
   */
  release(signal: AbortSignal): Promise<HoldEnd | void>;
}

/** A part of the metadata that could not be read, and why. */
export interface AbsentPart {
  readonly part: string;
  readonly reason: string;
}

/** The metadata that travels with a copy: parsed values from an allow-list, no free text, no secrets. */
export interface CopyMetadata {
  readonly metadata: JsonObject;
  readonly absent: readonly AbsentPart[];
  /** What was left out because it is too long. */
  readonly truncated: readonly string[];
}

/** Something in which a running server differs from the one whose data it has. */
export interface Difference {
  /** Such as `extension`, `collation-version`, `setting`, `role`, `version`, `architecture`. */
  readonly kind: string;
  /** Which one: its name, and its database where it has one. */
  readonly what: string;
  readonly was: Json;
  /** `null`: this server lacks it. */
  readonly is: Json;
  /** What it means or what mends it: a statement, or one sentence. */
  readonly fix?: string | undefined;
}

/** One line of a verification. */
export interface VerifyCheck {
  readonly name: string;
  /** `true`: proven. `false`: differs, or cannot be proven. */
  readonly ok: boolean;
  readonly expected?: Json;
  readonly found?: Json;
  /** How it was proven, what differs, or why it could not be proven. */
  readonly message: string;
  /** With `ok: false`: it could not look, or not to the end. Nothing was found to differ. */
  readonly unchecked?: boolean;
  /** It belongs to the deep check of the data. */
  readonly deep?: boolean;
}

export interface VerifyResult {
  /** Every check is `ok`. */
  readonly verified: boolean;
  readonly checks: readonly VerifyCheck[];
  /** In what the server differs from the one that was copied. No difference makes a check fail. */
  readonly differences?: readonly Difference[] | null;
}

export interface VerifyOptions {
  /** Also run the engine's own deep check of the data (PostgreSQL: amcheck). */
  readonly deep: boolean;
  /** Time limit of the deep check, in milliseconds: on a corrupt copy it can loop for a long time. */
  readonly deepTimeoutMs: number;
}

/** An entry of a folder on the data volume. */
export interface VolumeEntry {
  readonly name: string;
  /** Whether the same folder has an entry of this name. */
  readonly beside: (name: string) => Promise<boolean>;
}

/**
 * Whether a file or folder needs no fsync of ours: the engine itself makes it durable at a hold, or a server
 * that starts does not need it. Everything else on the data volume is synced before a snapshot.
 */
export type OwnFiles = (entry: VolumeEntry) => Promise<boolean>;

/**
 * One database engine. Every method that takes a signal rejects soon after the signal aborts, and leaves
 * nothing held. Errors are `QuiesceError`s with an `ENGINE_…` code or `COPY_UNSUPPORTED`.
 *
 * Order for a freeze: `prepare`, then `hold`; each at most once a freeze.
 */
export interface Engine {
  readonly name: string;
  readonly capabilities: Capabilities;
  readonly ownFiles: OwnFiles;
  /** Connects to the server and identifies it. Must be cheap: readiness uses it. */
  probe(signal: AbortSignal): Promise<Probe>;
  /** Does the slow part, which blocks no client. Refuses a freeze whose promise `hold` could not keep. */
  prepare(context: FreezeContext, signal: AbortSignal): Promise<void>;
  /**
   * Holds the database. Must not leave a hold in place once the signal has aborted: one that arrives late
   * is released before this rejects.
   */
  hold(context: FreezeContext, signal: AbortSignal): Promise<Hold>;
  /** What an operator needs in addition to the data. No secrets. */
  metadata(signal: AbortSignal): Promise<JsonObject>;
  /**
   * What of the metadata travels with a copy. Returns what it has when the time is up, and says what is
   * missing; rejects where it has nothing.
   */
  copyMetadata(withinMs: number, signal: AbortSignal): Promise<CopyMetadata>;
  /**
   * Pure: in what a running server differs from the copy of its data. Both are `CopyMetadata.metadata`.
   *
   * @param was `null`: the copy carries none; then only what the server itself finds wrong.
   */
  differences(was: JsonObject | null, is: JsonObject): readonly Difference[];
  /**
   * Releases whatever a crashed sidecar may have left held. Idempotent, and harmless if nothing is held.
   *
   * @param journal the latest entry of `remember` or of the hold's `journal`; `null`: nothing was done to the
   * server, or the entry cannot be read. Never release other clients' holds on a guess.
   */
  recover(journal: JsonObject | null, signal: AbortSignal): Promise<void>;
  /** Checks that this running server contains what the receipt promises. */
  verify(receipt: Receipt, options: VerifyOptions, signal: AbortSignal): Promise<VerifyResult>;
  /**
   * Whether the server has no data of any user, as right after its first start on an empty volume. `false`
   * where that cannot be told.
   */
  isEmpty(signal: AbortSignal): Promise<boolean>;
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
  /** Called with the seconds that a replica waited to catch up with its primary, also if it failed to. */
  readonly onReplicaWait?: (seconds: number) => void;
}

/** The exports of an engine's `index.ts`. */
export interface EngineModule {
  /** The problems with the engine's own settings, by name. */
  readonly checkSettings: (settings: Settings) => readonly SettingIssue[];
  readonly createEngine: (options: EngineOptions) => Engine;
}
