import type { Comparison, Hold } from './compare.ts';
import type { Ledger } from './ledger.ts';

/**
 * The address of a pod from where the runner is: `10.201.0.7`, a name of it, or `127.0.0.1:15432` if its
 * port is another than the engine's own. A load that must survive a new pod needs the name.
 */
export type Reach = (pod: string) => Promise<string>;

/** A loopback port that leads to the loopback of a pod, as `kubectl port-forward` makes it. */
export interface Forwarded {
  readonly port: number;
  close(): Promise<void>;
}

/** How the runner gets to the pods of one namespace. */
export interface Access {
  /** After a restore into another namespace, that one. */
  readonly namespace: string;
  readonly reach: Reach;
  readonly forward: (pod: string, port: number) => Promise<Forwarded>;
  /** How the pods of a set know each other, with the port; default: by the headless Service's name. */
  readonly memberName?: (pod: string) => string;
}

/** A database as a user runs it in the cluster. */
export interface App {
  readonly engine: 'postgres' | 'redis' | 'mongodb';
  readonly namespace: string;
  /** The pods that a backup freezes, one after the other. */
  readonly pods: readonly string[];
  /** The claims with data that a backup copies. */
  readonly claims: readonly string[];
  /** YAML of all objects, the namespace included. */
  manifest(): string;
  /** What a user does by hand once the pods are ready: the set, users, databases. Call it once. */
  initialise(access: Access): Promise<void>;
  /** Starts writers that do not stop for a backup. A second load goes on where the first one ended. */
  startLoad(access: Access, ledgerPath: string, options?: LoadOptions): Promise<Load>;
  /**
   * What a person does once the restored pods are ready, before the application starts: nothing for a
   * single server. A set that came back under other names is told its new ones.
   */
  afterRestore(access: Access): Promise<void>;
  /** Compares a restored database with the ledger. The application's own login reads, then writes. */
  compare(access: Access, ledger: Ledger, hold: Hold): Promise<Comparison>;
}

export interface LoadOptions {
  /** Default 8. */
  readonly clients?: number;
  /**
   * Mean pause of a client between two writes, in milliseconds. The default, 5, leaves processors to the
   * cluster and does not fill a volume of 1Gi within minutes.
   */
  readonly thinkMs?: number;
}

/** Writers in this process; the ledger has each of their acknowledgements. */
export interface Load {
  /** Acknowledged writes, those of earlier loads of the same database included. */
  readonly total: number;
  /** Errors that the writers survived, and acknowledged writes that a writer found missing. */
  readonly trouble: readonly string[];
  /** Resolves when this many further writes are acknowledged; rejects if that takes too long. */
  progress(count: number, withinMs?: number): Promise<void>;
  /** Lets each writer finish its write, cuts off those that still wait then, and closes the ledger. */
  stop(): Promise<void>;
}

export const CLIENTS = 8;
export const THINK_MS = 5;

/** Host and port of an address that {@link Reach} gave. */
export function splitAddress(address: string, port: number): { host: string; port: number } {
  const [host = '', given] = address.split(':');
  return { host, port: given === undefined ? port : Number(given) };
}
