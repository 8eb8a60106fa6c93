import type { Receipt } from '../receipt/receipt.ts';
import type { DemoCheck } from './checks.ts';
import type { LatencyLog } from '../testbed/latency.ts';
import type { SidecarProcess } from '../testbed/processes.ts';
import type { Workspace } from '../testbed/workspace.ts';

/** The writes acknowledged by one moment: a copy cut later must contain all of them. */
export interface Acknowledged {
  readonly count: number;
}

/** A server's data compared with acknowledged writes. */
export interface Comparison {
  readonly checks: readonly DemoCheck[];
  /** The number of the writers' writes that are present. */
  readonly found: number;
  /** How many of those were not yet acknowledged by that moment. */
  readonly beyond: number;
}

/** Applications that write to the source, each with its own sequence. */
export interface DemoLoad {
  readonly clients: number;
  readonly latencies: LatencyLog;
  /** Creates what the writers write to, and brings the new server into the state of a running one. */
  prepare(): Promise<void>;
  start(): Promise<void>;
  stop(withinMs?: number): Promise<void>;
  acknowledged(): Acknowledged;
  /** Errors of the writers, and acknowledged writes that a writer found missing: sentences. */
  trouble(): readonly string[];
}

/** A running server of the demo. */
export interface DemoServer {
  readonly port: number;
  readonly load: DemoLoad;
  /** The command that opens the database's own shell on this server. */
  readonly shell: string;
  /** The amount of data: `112 MB in 4 databases`. */
  describeData(): Promise<string>;
  compare(acknowledged: Acknowledged): Promise<Comparison>;
  /** Runs the engine's own check of the data, then writes: a restored copy must pass both. */
  examine(): Promise<readonly DemoCheck[]>;
  /** Files and changed settings that a finished freeze left in the live data; there must be none. */
  leftovers(): Promise<readonly string[]>;
  /** Starts a sidecar for this server, which the workspace stops. It may not be ready yet. */
  startSidecar(name: string): Promise<SidecarProcess>;
  /** Lets this process exit while the server keeps running. */
  leave(): void;
}

/** The words for the database's writers in the demo's output. */
export interface DemoWords {
  /** What the writers do: `move money`. */
  readonly writers: string;
  /** What the demo counts: `transactions`. */
  readonly writes: string;
  /** What the timeline shows: `commits`. */
  readonly commits: string;
  /** The unit of the rate, in at most 8 characters: `tx/s`. */
  readonly rate: string;
}

/** The database that the demo freezes. */
export interface DemoDatabase {
  /** The value of QUIESCE_ENGINE. */
  readonly engine: string;
  /** `PostgreSQL`. */
  readonly product: string;
  /** The server that is started: `an embedded PostgreSQL 17`. */
  readonly title: string;
  readonly words: DemoWords;
  /** The process id of the source once it runs. */
  readonly pid: number | undefined;
  /** Starts an empty server with its data on a volume, and creates the sidecar's least-privileged user. */
  start(workspace: Workspace, volume: string): Promise<DemoServer>;
  /** Starts a second server on a prepared copy, with the settings that the receipt lists. */
  startOn(workspace: Workspace, copy: string, receipt: Receipt): Promise<DemoServer>;
}
