import { setTimeout as sleep } from 'node:timers/promises';
import type { CopyMethod } from '../../src/receipt/receipt.ts';
import type { Snapshot, Volume } from '../../src/testbed/volume/volume.ts';
import { copyFileByFile } from '../support/file-copy.ts';

/** The writes a server has acknowledged by one moment, in whatever form the engine's load keeps them. */
export interface Ledger {
  /** How many. */
  readonly count: number;
}

/**
 * One server, set up in one way, that must keep every promise of the `Engine` interface. An engine
 * takes part in the suite with a few of these.
 *
 * @typeParam L what this engine's load remembers of acknowledged writes.
 */
export interface Subject<L extends Ledger = Ledger> {
  /** As a title: `PostgreSQL 17`, `Valkey 8.1 with appendfsync everysec`. */
  readonly name: string;
  /** As in QUIESCE_ENGINE. */
  readonly engine: string;
  /** Writers wait while it is held. */
  readonly blocksWrites: boolean;
  /** The copy methods claimed: each is copied, restored and compared. All others must be refused. */
  readonly copies: readonly CopyMethod[];
  /**
   * How long, in milliseconds, the server may hold on past the lease when the sidecar vanishes and
   * nobody comes after it; `null`: the server has no dead-man's switch, and a hold outlives its lease
   * until the next sidecar.
   */
  readonly deadManMs: number | null;
  /** A freeze with `copy: snapshot` ends as lost when the sidecar's connections are cut. */
  readonly holdDiesWithItsSession: boolean;
  /** Claimed copy methods that cannot keep the promise in certain places, and are refused there. */
  readonly refusals: readonly Refusal[];
  /** Starts the server, empty but for what its load needs, on volumes that fit `copy`. */
  start(options: StartOptions): Promise<World<L>>;
}

/** What is not about a certain way to copy is tried with the first claimed: an engine may claim few. */
export function usualCopy({ copies }: Pick<Subject, 'copies'>): CopyMethod {
  const [first] = copies;
  if (first === undefined) throw new Error('an engine that claims no copy method promises nothing');
  return first;
}

export interface StartOptions {
  /** A folder of its own, which the server's user may enter; the suite removes it at the end. */
  readonly dir: string;
  readonly copy: CopyMethod;
}

export interface Refusal {
  /** Completes the sentence `refused …`. */
  readonly where: string;
  readonly copy: CopyMethod;
  /** Changes to the sidecar's settings; `undefined` takes one away. */
  readonly env: Readonly<Record<string, string | undefined>>;
}

/** A real server on a real volume, with an application that writes to it. */
export interface World<L extends Ledger = Ledger> {
  /** What the sidecar mounts: its `path` is QUIESCE_DATA_DIR. */
  readonly volume: Pick<Volume, 'path' | 'snapshot'>;
  /** Connection settings of the sidecar, as the documented least-privileged user. */
  readonly env: Readonly<Record<string, string>>;
  /** Passwords and the like: no output may ever contain one of them. */
  readonly secrets: readonly string[];
  /** Changes to `env` with which the server refuses the sidecar's credentials. */
  readonly wrongCredentials: Readonly<Record<string, string>>;
  readonly server: ServerControl;
  readonly load: Load<L>;
  /** One write, as an application makes it, on a connection of its own: resolves when acknowledged. */
  write(): Promise<void>;
  /**
   * As an administrator sees it: everything with which a freeze holds the server and that is still in
   * place, one sentence each (locks, pauses, open backups, slots). Empty on an idle server; the
   * sidecar's own files on the volume are the suite's matter.
   */
  held(): Promise<readonly string[]>;
  /**
   * Settings of the server that are not as they were at the start, one sentence each. No dead-man's
   * switch puts them back, but every end of a freeze does.
   */
  changed(): Promise<readonly string[]>;
  /** Connections of the sidecar's user. */
  sessions(): Promise<number>;
  /** Ends all connections of the sidecar's user, from the server's side. */
  cutSessions(): Promise<void>;
  /** Takes from the sidecar's user a right that a freeze needs. */
  revoke(): Promise<void>;
  /**
   * Tries, as the sidecar's user, to read and to change what applications keep, and whatever else it
   * must not be able to do. @returns what it was able to do, one sentence each.
   */
  trespass(): Promise<readonly string[]>;
  /** One backup in the way of `StartOptions.copy`. */
  backup(name: string): Backup;
  /** A second server on a copy that was prepared for its start, running when this resolves. */
  restore(dataDir: string): Promise<Restored<L>>;
  /** Stops everything and unmounts everything. Idempotent. */
  dispose(): Promise<void>;
}

/** Faults of the server process, for real. */
export interface ServerControl {
  /** SIGKILL; resolves when it is gone. */
  kill(): Promise<void>;
  /** Starts it again after `kill`; resolves when it takes connections. */
  start(): Promise<void>;
  /** SIGSTOP, so that it answers nobody. */
  stall(): Promise<void>;
  /** SIGCONT. */
  resume(): Promise<void>;
}

export interface Load<L extends Ledger = Ledger> {
  /** Some clients that write as fast as they can, and survive the loss of their connections. */
  start(): Promise<void>;
  stop(): Promise<void>;
  /** What has been acknowledged by now. */
  acked(): L;
}

/** The copying of one backup, in its order. */
export interface Backup {
  /** Between freeze and thaw: makes the copy, or all that are made then. */
  during(): Promise<void>;
  /** After the thaw: what the order in the receipt wants last; nothing for most. */
  after(): Promise<void>;
  /**
   * Brings the copies together as on another machine.
   *
   * @returns what QUIESCE_DATA_DIR was, on the copy.
   */
  mount(): Promise<string>;
}

export interface Restored<L extends Ledger = Ledger> {
  /** Connection settings of a sidecar beside it. */
  readonly env: Readonly<Record<string, string>>;
  /**
   * Compares with what was acknowledged, and looks for damage in the engine's own way.
   *
   * @returns what is missing or wrong, one sentence each; nothing else proves the restore.
   */
  missing(ledger: L): Promise<readonly string[]>;
  stop(): Promise<void>;
}

/** The backup whose whole copy is one atomic snapshot of the volume. */
export function snapshotBackup(volume: Pick<Volume, 'snapshot'>, name: string): Backup {
  let copy: Snapshot | undefined;
  return {
    during: async () => {
      copy = await volume.snapshot(name);
    },
    after: () => Promise.resolve(),
    mount: () => {
      if (!copy) throw new Error('nothing was copied');
      return Promise.resolve(copy.path);
    },
  };
}

/**
 * The backup that reads the mounted files one after the other, into the folder `to`.
 *
 * @param pauseMs in the middle of it: long enough for what an unheld server would write meanwhile.
 */
export function fileBackup(volume: Pick<Volume, 'path'>, to: string, pauseMs: number): Backup {
  return {
    during: () => copyFileByFile(volume.path, to, { between: () => sleep(pauseMs) }),
    after: () => Promise.resolve(),
    mount: () => Promise.resolve(to),
  };
}
