import type { Volume } from '../../src/testbed/volume/volume.ts';
import type { Receipt } from '../../src/receipt/receipt.ts';

/**
 * What the fault harness needs of one engine: `test/faults/NAME/index.ts`, named in `engines.ts`.
 * All else (plan, play, shim, sidecar, network, clock, full disks, claims, report) is general.
 */
export interface FaultEngine {
  readonly name: string;
  /** What `--version` takes; the first is the default. */
  readonly versions: readonly string[];
  /** Ways to freeze, by the name that `--mode` takes; without it each run takes one by its seed. */
  readonly modes: Readonly<Record<string, FaultMode>>;
}

/** One way to freeze, and what is known of it from outside. */
export interface FaultMode {
  /**
   * Names of what can be seen of a freeze between its journal and its receipt, in order: steps of
   * {@link Wire} and of `evidenceSteps`, and those that the database announces. Faults hit at them.
   */
  readonly freezeSteps: readonly string[];
  /** The same of a thaw, between the removal of the receipt and the verdict. */
  readonly thawSteps: readonly string[];
  /** File in `.quiesce/` → the step of `freezeSteps` that is its appearance. */
  readonly evidenceSteps: Readonly<Record<string, string>>;
  /** Faults that only this engine knows, carried out by {@link Database.inject}. */
  readonly faults: readonly string[];
  /**
   * Faults, general ones too, that end a hold for certain: a thaw that claims that it held, though
   * one of them hit it, is a false success.
   */
  readonly endsHold: readonly string[];
  /** Faults, general ones too, while and after which writers may wait by themselves. */
  readonly stallsWriters: readonly string[];
  /** Timeouts of freezes, in milliseconds, one of which a run picks: some too short, most enough. */
  readonly timeoutsMs: readonly number[];
  /** Writers may wait for as long as the lease. */
  readonly blocksWriters: boolean;
  /** A copy holds what was acknowledged before freeze, or even before thaw, was called. */
  readonly holdsUntil: 'freeze' | 'thaw';
  /** Makes what is needed; nothing runs yet. */
  make(options: DatabaseOptions): Promise<Database>;
}

export interface DatabaseOptions {
  /** A folder of its own; keep paths below it short. */
  readonly dir: string;
  readonly version: string;
  /** Where the data belongs: atomic copies can be made of it. The sidecar's QUIESCE_DATA_DIR. */
  readonly volume: Volume;
  /** Announces a step of `freezeSteps` or `thawSteps` at the moment it is seen. */
  readonly step: (name: string) => void;
}

/** What to see in the bytes between sidecar and server. */
export interface Wire {
  /**
   * A text in what the sidecar sends: the step when it was sent and, where named, the step when
   * the first answer arrives. Steps are announced before the bytes go on.
   */
  readonly steps: readonly (readonly [text: string, asked: string, answered?: string])[];
  /** The process that serves a connection, where the server's first answers name it. */
  readonly processOf?: (chunk: Buffer) => number | undefined;
  /** Bytes of the server that are no answer, such as notices. */
  readonly isAside?: (chunk: Buffer) => boolean;
}

/** What had been acknowledged at one moment; only its engine looks into it. */
export type Acknowledged = object;

/** A copy of the volume, as a backup makes it in this mode. */
export interface Copy {
  /** The root of the copy; `.quiesce/` lies in it. */
  readonly path: string;
}

export interface RestoreOptions {
  /** What must be in the copy; `undefined`: nothing is known, it only must be whole. */
  readonly acknowledged: Acknowledged | undefined;
  /** What the thaw of the freeze in which it was cut has returned, success or not. */
  readonly receipt: Receipt | undefined;
}

/** `refused`: why `prepare-restore` did not take it. `wrong`: what the started server lacks. */
export type Restored =
  | { readonly refused: string }
  /** `all`: all that was acknowledged had to be there, which is not so of every copy. */
  | { readonly wrong: readonly string[]; readonly all: boolean };

/** A server with its data on the volume, under write load. Used by many runs, one after the other. */
export interface Database {
  /** The port on 127.0.0.1 that the sidecar's network leads to. */
  readonly port: number;
  readonly wire: Wire;
  /** QUIESCE_ENGINE, QUIESCE_COPY and the connection, for a sidecar that reaches it at `port`. */
  env(port: number): Readonly<Record<string, string>>;
  /** Server and writers run when this resolves. Called once. */
  start(): Promise<void>;

  /** How many writes have been acknowledged; grows while writers go on. */
  writes(): number;
  /** One write by a client of its own; rejects when the server takes none within 5 s. */
  write(): Promise<void>;
  /** Sentences on acknowledged writes that the running server no longer has. */
  losses(): readonly string[];
  acknowledged(): Promise<Acknowledged>;

  /** The server's process, the parent of its others, if it has any; `undefined`: it is down. */
  readonly pid: number | undefined;
  /** Starts the server where it is down, and resolves when it takes connections. */
  serve(): Promise<void>;
  /**
   * Carries out a fault of `FaultMode.faults`; resolves when it is over.
   *
   * @param session the server process of the freeze, where {@link Wire.processOf} tells it.
   * @returns false where there was nothing to hit.
   */
  inject(kind: string, lastsMs: number, session: number | undefined): Promise<boolean>;

  /** Copies the volume as this mode's backup does. @param name of the copy, one a call. */
  cut(name: string): Promise<Copy>;
  /** What a backup still copies once the thaw has returned; called at once. */
  complete?(copy: Copy): Promise<void>;
  /** Restores a copy as a user does, starts a second server on it and looks at all data. */
  restore(copy: Copy, options: RestoreOptions): Promise<Restored>;
  drop(copy: Copy): Promise<void>;

  /**
   * What a freeze must never leave behind in server and data, one sentence each. Asked until it is
   * empty or time is up. `.quiesce/` and the journal are looked into by the harness itself.
   *
   * @param ended receipts of the freezes that have ended in this run.
   */
  leftovers(ended: readonly Receipt[]): Promise<readonly string[]>;
  /** The end of the server's log. */
  log(): string;
  /** Ends writers and server, whatever state they are in. */
  close(): Promise<void>;
}
