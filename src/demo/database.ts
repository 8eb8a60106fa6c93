import type { Receipt } from '../receipt/receipt.ts';
import type { DemoCheck } from './checks.ts';
import type { LatencyLog } from '../testbed/latency.ts';
import type { SidecarProcess } from '../testbed/processes.ts';
import type { Workspace } from '../testbed/workspace.ts';

/** What the writers had been told by one moment: a copy cut later must contain all of it. */
export interface Acknowledged {
  readonly count: number;
}

/** What a server holds, beside what the writers had been told. */
export interface Comparison {
  readonly checks: readonly DemoCheck[];
  /** What the writers wrote and is there. */
  readonly found: number;
  /** How much of that they had not been told of by then. */
  readonly beyond: number;
}

/** Applications that write to the source, each under a sequence of its own. */
export interface DemoLoad {
  readonly clients: number;
  readonly latencies: LatencyLog;
  /** Makes what they write to, and lets the new server come to rest. */
  prepare(): Promise<void>;
  start(): Promise<void>;
  stop(withinMs?: number): Promise<void>;
  acknowledged(): Acknowledged;
  /** Errors met, and acknowledged writes that a client found missing: sentences. */
  trouble(): readonly string[];
}

/** A running server of the demo. */
export interface DemoServer {
  readonly port: number;
  readonly load: DemoLoad;
  /** A line that opens the database's own shell on it. */
  readonly shell: string;
  /** How much data there is: `112 MB in 4 databases`. */
  describeData(): Promise<string>;
  compare(acknowledged: Acknowledged): Promise<Comparison>;
  /** The engine's own check of the data, and a write: what a restored copy must pass. */
  examine(): Promise<readonly DemoCheck[]>;
  /** What a finished freeze must not leave in the live data: names of what is there. */
  leftovers(): Promise<readonly string[]>;
  /** A sidecar beside it, stopped with the workspace. Not yet ready. */
  startSidecar(name: string): Promise<SidecarProcess>;
  /** Lets this process end while the server runs on. */
  leave(): void;
}

/** How one speaks of the database's writers. */
export interface DemoWords {
  /** What they do: `move money`. */
  readonly writers: string;
  /** What of it is counted: `transactions`. */
  readonly writes: string;
  /** What of it is seen over time: `commits`. */
  readonly commits: string;
  /** How fast, in at most 8 characters: `tx/s`. */
  readonly rate: string;
}

/** The database that the demo freezes. */
export interface DemoDatabase {
  /** As in QUIESCE_ENGINE. */
  readonly engine: string;
  /** `PostgreSQL`. */
  readonly product: string;
  /** As it is started: `an embedded PostgreSQL 17`. */
  readonly title: string;
  readonly words: DemoWords;
  /** The process id of the source, once it runs. */
  readonly pid: number | undefined;
  /** An empty server with its data on a volume, and the least-privileged user of the sidecar. */
  start(workspace: Workspace, volume: string): Promise<DemoServer>;
  /** A second server on a copy that was prepared, with the settings that its receipt names. */
  startOn(workspace: Workspace, copy: string, receipt: Receipt): Promise<DemoServer>;
}
