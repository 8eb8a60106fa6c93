import { setTimeout as sleep } from 'node:timers/promises';
import type { ReplicaMode } from '../../src/engines/engine.ts';
import type { ErrorCode } from '../../src/errors.ts';
import type { CopyMethod } from '../../src/receipt/receipt.ts';
import type { Snapshot, Volume } from '../../src/testbed/volume/volume.ts';
import { copyFileByFile } from '../support/file-copy.ts';
import type { Edit } from './configuration.ts';

/** The writes that a server has acknowledged by one moment, in the form that the engine's load keeps. */
export interface Ledger {
  /** The number of writes. */
  readonly count: number;
}

/**
 * One server, set up in one way, that must keep every promise of the `Engine` interface. Each engine has
 * a few subjects in the suite.
 *
 * @typeParam L the ledger of acknowledged writes that this engine's load keeps.
 */
export interface Subject<L extends Ledger = Ledger> {
  /** A title: `PostgreSQL 17`, `Valkey 8.1 with appendfsync everysec`. */
  readonly name: string;
  /** As in QUIESCE_ENGINE. */
  readonly engine: string;
  /** Writers wait while it is held. */
  readonly blocksWrites: boolean;
  /** The `mode` in the receipt of such a freeze. */
  readonly mode: string;
  /** As in QUIESCE_REPLICA. */
  readonly replica: ReplicaMode;
  /** The copy methods that the engine claims. All others must be refused. */
  readonly claims: readonly CopyMethod[];
  /** The copy methods tested on this subject: each is copied, restored and compared. */
  readonly copies: readonly CopyMethod[];
  /** The copy method with which every other promise is tested. */
  readonly copy: CopyMethod;
  /**
   * How long, in milliseconds, the server may stay held past the lease when the sidecar vanishes and no
   * other one starts. `null`: the server has no dead-man's switch, and stays held until the next sidecar.
   */
  readonly deadManMs: number | null;
  /** An administrator can see the hold: `World.held` is then not empty. */
  readonly seenInServer: boolean;
  /** A freeze is lost when the sidecar's connections are cut. */
  readonly holdDiesWithItsSession: boolean;
  /** The reasons of a thaw after the server was killed, and after it was killed and restarted. */
  readonly reasons: { readonly killed: string; readonly restarted: string };
  /** Once held, everything is on the volume: the fate of the server then breaks nothing. */
  readonly outlivesServer: boolean;
  /** A freeze also leaves a mark on volumes other than the data's: `World.marked`. */
  readonly marksFurtherVolumes: boolean;
  /** `hold` journals what it is about to do, and does nothing if that fails. */
  readonly remembers: boolean;
  /**
   * Matches what the release of a proven hold keeps for a while on purpose, for a cut after the thaw. It
   * blocks no client, and `World.held` still lists it. `null`: nothing is kept.
   */
  readonly keptAfterThaw: RegExp | null;
  /**
   * The result of a freeze without the right that `World.revoke` removes: an error, or `weaker` for a success
   * whose receipt says what is missing.
   */
  readonly withoutRight: ErrorCode | 'weaker';
  /** How messages name that right, for an administrator who can grant it. */
  readonly right: RegExp;
  /** Set-ups in which a claimed copy method cannot keep its promise, and is refused. */
  readonly refusals: readonly Refusal[];
  /** Starts the server on volumes that fit `copy`. It is empty except for what its load needs. */
  start(options: StartOptions): Promise<World<L>>;
}

export interface StartOptions {
  /** A separate folder that the server's user may enter; the suite removes it at the end. */
  readonly dir: string;
  readonly copy: CopyMethod;
  /** The volume is a block device for every copy method: `copyNow` then copies it without the page cache. */
  readonly disk?: 'block';
}

export interface Refusal {
  /** Completes the sentence `refused …`. */
  readonly where: string;
  readonly copy: CopyMethod;
  /** Changes to the sidecar's settings; `undefined` removes one. */
  readonly env: Readonly<Record<string, string | undefined>>;
  /** The caller copies every volume before its thaw. */
  readonly thawLast?: boolean;
}

/** A real server on a real volume, with an application that writes to it. */
export interface World<L extends Ledger = Ledger> {
  /** The volume that the sidecar mounts: its `path` is QUIESCE_DATA_DIR. */
  readonly volume: Pick<Volume, 'path' | 'snapshot'>;
  /** Folders on further volumes. Each has a `.quiesce/` of its own during a freeze. */
  readonly marked: readonly string[];
  /** Connection settings of the sidecar, as the documented least-privileged user. */
  readonly env: Readonly<Record<string, string>>;
  /** Passwords and other secrets: no output may ever contain one. */
  readonly secrets: readonly string[];
  /** Changes to `env` with which the server refuses the sidecar's credentials. */
  readonly wrongCredentials: Readonly<Record<string, string>>;
  readonly server: ServerControl;
  readonly load: Load<L>;
  /** Makes one write on a new connection, like an application. Resolves when acknowledged. */
  write(): Promise<void>;
  /**
   * Everything with which a freeze still holds the server, as an administrator sees it, one sentence each:
   * locks, pauses, open backups, slots. Empty on an idle server. The suite itself checks the sidecar's files
   * on the volume.
   */
  held(): Promise<readonly string[]>;
  /**
   * Settings of the server that differ from those at the start, one sentence each. No dead-man's switch
   * restores them, but every end of a freeze does.
   */
  changed(): Promise<readonly string[]>;
  /** The number of connections of the sidecar's user. */
  sessions(): Promise<number>;
  /** Ends all connections of the sidecar's user, from the server's side. */
  cutSessions(): Promise<void>;
  /** Removes from the sidecar's user a right that a freeze needs. */
  revoke(): Promise<void>;
  /**
   * Tries, as the sidecar's user, to read and change application data, and everything else that this user
   * must not be able to do. @returns what it could do, one sentence each.
   */
  trespass(): Promise<readonly string[]>;
  /**
   * Adds a line to a configuration file on the volume, as with an editor: nothing syncs it. The server need
   * not read it, but one that starts from a copy does.
   */
  configure(): Promise<Edit>;
  /** One backup with the method `StartOptions.copy`. */
  backup(name: string): Backup;
  /**
   * Copies everything at one moment, whatever the copy method, and without a freeze.
   *
   * @returns the data directory of the copy, which corresponds to QUIESCE_DATA_DIR.
   */
  copyNow(name: string): Promise<string>;
  /** Starts a second server on a prepared copy. The server is running when this resolves. */
  restore(dataDir: string): Promise<Restored<L>>;
  /** Starts a second server on an empty folder, as an image does on a volume that came back without its data. */
  blank(name: string): Promise<Blank>;
  /** Stops everything and unmounts everything. Idempotent. */
  dispose(): Promise<void>;
}

/** Real faults of the server process. */
export interface ServerControl {
  /** SIGKILL; resolves when it is gone. */
  kill(): Promise<void>;
  /** Starts it again after `kill`; resolves when it accepts connections. */
  start(): Promise<void>;
  /** SIGSTOP, so that it answers no client. */
  stall(): Promise<void>;
  /** SIGCONT. */
  resume(): Promise<void>;
}

export interface Load<L extends Ledger = Ledger> {
  /** Starts clients that write as fast as they can and survive the loss of their connections. */
  start(): Promise<void>;
  stop(): Promise<void>;
  /** The writes that are acknowledged by now and have reached the server that is frozen. */
  acked(): L | Promise<L>;
}

/** The steps that copy one backup, in order. */
export interface Backup {
  /** Between freeze and thaw: makes the copies that belong there. */
  during(): Promise<void>;
  /** After the thaw: makes the copies that the order in the receipt puts last; mostly none. */
  after(): Promise<void>;
  /**
   * Mounts the copies together, as on another machine.
   *
   * @returns the data directory of the copy, which corresponds to QUIESCE_DATA_DIR.
   */
  mount(): Promise<string>;
}

export interface Restored<L extends Ledger = Ledger> {
  /** Connection settings of a sidecar for this server. */
  readonly env: Readonly<Record<string, string>>;
  /**
   * Compares with the acknowledged writes, and checks for damage in the engine's own way.
   *
   * @returns what is missing or wrong, one sentence each; only an empty list proves the restore.
   */
  missing(ledger: L): Promise<readonly string[]>;
  /** Whether it runs with what `World.configure` added. */
  configured(): Promise<boolean>;
  stop(): Promise<void>;
}

/** A server without any data of a user. */
export interface Blank extends Pick<Restored, 'env' | 'stop'> {
  /** As QUIESCE_DATA_DIR. */
  readonly dataDir: string;
}

/** A backup that is one atomic snapshot of the volume. */
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
 * A backup that copies the mounted files one after the other into the folder `to`.
 *
 * @param pauseMs pause in the middle, long enough for an unheld server to write in between.
 */
export function fileBackup(volume: Pick<Volume, 'path'>, to: string, pauseMs: number): Backup {
  return {
    during: () => copyFileByFile(volume.path, to, { between: () => sleep(pauseMs) }),
    after: () => Promise.resolve(),
    mount: () => Promise.resolve(to),
  };
}
