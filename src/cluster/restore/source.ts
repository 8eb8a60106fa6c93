import type { KubeObject } from '../objects/kube-object.ts';
import type { Plan } from '../plan/document.ts';
import type { RestoreProblem, RestoreSource } from './document.ts';

/** The namespaces that a restore fills. They exist, carry the run's label, and the webhook gates in them. */
export interface Target {
  /** The id of the run. */
  readonly id: string;
  /** Namespaces of the source → namespaces of the target. */
  readonly namespaces: ReadonlyMap<string, string>;
}

/** How far a source has come. */
export interface SourceState {
  /** Nothing more will be created. */
  readonly done: boolean;
  readonly problems: readonly RestoreProblem[];
  /** One line for people: what it does now. */
  readonly doing: string;
}

/** Where a restore takes objects and volumes from. Every call may be made again after the verb was killed. */
export interface Source {
  readonly about: Omit<RestoreSource, 'namespaces'>;
  /** Of the namespaces of the source. */
  readonly plan: Plan;
  /**
   * What it holds of workloads, pods, Jobs and Namespaces: tells which pod is whose. Absent: names and owners
   * alone tell.
   */
  readonly objects?: readonly KubeObject[];
  /**
   * Pods, as `NAMESPACE/NAME`, whose volumes are filled only once they are bound to a node: they wait in their
   * init container instead of behind a gate. Absent: none.
   */
  readonly held?: ReadonlySet<string>;
  /** Looks whether it can be restored there. Changes nothing. @throws QuiesceError where it cannot */
  preflight(target: Target, signal: AbortSignal): Promise<readonly RestoreProblem[]>;
  /** Begins to create the objects; resolves when that goes on by itself. CronJobs come suspended. */
  begin(target: Target, signal: AbortSignal): Promise<void>;
  state(target: Target, signal: AbortSignal): Promise<SourceState>;
  /** After the last layer: undoes what held things back, such as suspended CronJobs. */
  finish(target: Target, signal: AbortSignal): Promise<readonly RestoreProblem[]>;
}
