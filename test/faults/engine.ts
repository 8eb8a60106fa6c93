import type { Volume } from '../../src/testbed/volume/volume.ts';
import type { Receipt } from '../../src/receipt/receipt.ts';

/**
 * What the fault harness needs from one engine: `test/faults/NAME/index.ts`, listed in `engines.ts`.
 * Everything else (plan, play, shim, sidecar, network, clock, full disks, judges, report) is general.
 */
export interface FaultEngine {
  readonly name: string;
  /** The values of `--version`; the first is the default. */
  readonly versions: readonly string[];
  /** Ways to freeze, by the values of `--mode`. Without it the seed of each run picks one. */
  readonly modes: Readonly<Record<string, FaultMode>>;
}

/** One way to freeze, and what can be observed of it from outside. */
export interface FaultMode {
  /**
   * Names of the observable steps of a freeze between its journal and its receipt, in order: steps of
   * {@link Wire} and of `evidenceSteps`, and those that the database announces. Faults strike at them.
   */
  readonly freezeSteps: readonly string[];
  /** The same for a thaw, between the removal of the receipt and the verdict. */
  readonly thawSteps: readonly string[];
  /** File in `.quiesce/` → the step of `freezeSteps` at which it appears. */
  readonly evidenceSteps: Readonly<Record<string, string>>;
  /** Faults of this engine only, carried out by {@link Database.inject}. */
  readonly faults: readonly string[];
  /**
   * Faults, including general ones, that certainly end a hold. A thaw that reports a success although one
   * of them hit the hold is a false success.
   */
  readonly endsHold: readonly string[];
  /** Faults, including general ones, during and after which writers may wait without a freeze. */
  readonly stallsWriters: readonly string[];
  /** Timeouts of freezes in milliseconds, of which a run picks one: some are too short, most suffice. */
  readonly timeoutsMs: readonly number[];
  /** Writers may wait for as long as the lease. */
  readonly blocksWriters: boolean;
  /** A copy contains the writes acknowledged before this call. */
  readonly holdsUntil: 'freeze' | 'thaw';
  /** Creates the database; nothing runs yet. */
  make(options: DatabaseOptions): Promise<Database>;
}

export interface DatabaseOptions {
  /** A folder for this database only; keep paths below it short. */
  readonly dir: string;
  readonly version: string;
  /** The volume for the data, which can be copied atomically. The sidecar's QUIESCE_DATA_DIR. */
  readonly volume: Volume;
  /** Announces a step of `freezeSteps` or `thawSteps` when it is observed. */
  readonly step: (name: string) => void;
}

/** What to look for in the bytes between sidecar and server. */
export interface Wire {
  /**
   * A text that the sidecar sends, the step at which it is sent and, optionally, the step at which the
   * first answer arrives. Steps are announced before the bytes are forwarded.
   */
  readonly steps: readonly (readonly [text: string, asked: string, answered?: string])[];
  /** The process that serves a connection, where the server's first answers contain it. */
  readonly processOf?: (chunk: Buffer) => number | undefined;
  /** Whether bytes of the server are not an answer, such as a notice. */
  readonly isAside?: (chunk: Buffer) => boolean;
}

/** The writes acknowledged at one moment. Only the engine reads it. */
export type Acknowledged = object;

/** A copy of the volume, as a backup makes it in this mode. */
export interface Copy {
  /** The root of the copy, which contains `.quiesce/`. */
  readonly path: string;
}

export interface RestoreOptions {
  /** The writes that must be in the copy; `undefined`: unknown, it must only be whole. */
  readonly acknowledged: Acknowledged | undefined;
  /** The receipt returned by the thaw of the freeze during which it was cut, success or not. */
  readonly receipt: Receipt | undefined;
}

/** `refused`: why `prepare-restore` refused the copy. `wrong`: what the started server lacks. */
export type Restored =
  | { readonly refused: string }
  /** `all`: the copy had to contain all acknowledged writes, which is not true of every copy. */
  | { readonly wrong: readonly string[]; readonly all: boolean };

/** A server with its data on the volume, under write load. Used by many runs, one after the other. */
export interface Database {
  /** The port on 127.0.0.1 that the sidecar's network leads to. */
  readonly port: number;
  readonly wire: Wire;
  /** QUIESCE_ENGINE, QUIESCE_COPY and the connection settings of a sidecar that connects to `port`. */
  env(port: number): Readonly<Record<string, string>>;
  /** Server and writers run when this resolves. Called once. */
  start(): Promise<void>;

  /** How many writes have been acknowledged; grows while writers continue. */
  writes(): number;
  /** One write by a separate client. Rejects when the server accepts none within 5 s. */
  write(): Promise<void>;
  /** Sentences about acknowledged writes that the running server no longer has. */
  losses(): readonly string[];
  acknowledged(): Promise<Acknowledged>;

  /** The server's main process; `undefined`: the server is down. */
  readonly pid: number | undefined;
  /** Starts the server if it is down. Resolves when it accepts connections. */
  serve(): Promise<void>;
  /**
   * Carries out a fault of `FaultMode.faults`; resolves when it is over.
   *
   * @param session the server process of the freeze, where {@link Wire.processOf} knows it
   * @returns false where there was nothing to hit
   */
  inject(kind: string, lastsMs: number, session: number | undefined): Promise<boolean>;

  /** Copies the volume as this mode's backup does. @param name of the copy, different for each call */
  cut(name: string): Promise<Copy>;
  /** Makes the part of a copy that a backup makes after the thaw. Called immediately after the thaw. */
  complete?(copy: Copy): Promise<void>;
  /** Restores a copy as a user does, starts a second server on it and checks all data. */
  restore(copy: Copy, options: RestoreOptions): Promise<Restored>;
  drop(copy: Copy): Promise<void>;

  /**
   * Things that a freeze must never leave behind in server and data, one sentence each. Called until it
   * is empty or time is up. The harness itself checks `.quiesce/` and the journal.
   *
   * @param ended receipts of the freezes that have ended in this run
   */
  leftovers(ended: readonly Receipt[]): Promise<readonly string[]>;
  /** The end of the server's log. */
  log(): string;
  /** Ends writers and server in any state. */
  close(): Promise<void>;
}
