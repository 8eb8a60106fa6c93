import type { KubeObject } from '../objects/kube-object.ts';
import type { Plan } from '../plan/document.ts';
import type { PlannedMember } from '../plan/planned.ts';
import type { RestoreProblem, RestoreSource } from '../restore/document.ts';
import type { SourceVolume } from '../restore/volumes/source-volume.ts';
import type { ConfigRef } from './references.ts';

/** What a drill proves, and where it finds what describes it. Nothing of it is changed. */
export interface DrillSource {
  readonly about: Omit<RestoreSource, 'namespaces'>;
  readonly plan: Plan;
  readonly members: readonly PlannedMember[];
  readonly volumes: readonly SourceVolume[];
  /** Claims without a snapshot of the storage, as `NAMESPACE/NAME`. */
  readonly without: readonly string[];
  /** Claims as they are described besides. */
  readonly claims: readonly KubeObject[];
  /** All objects of its namespaces, with the values of Secrets; absent: only databases are drilled. */
  readonly objects?: readonly KubeObject[];
  /** The id of the freezes in whose hold the volumes were cut, where all of them have one. */
  readonly receiptId?: string;
  /** What is already known to be wrong with it. It is not proven with one of these. */
  readonly problems: readonly RestoreProblem[];
  /** A ConfigMap or Secret with its values; `undefined`: there is none. */
  config(ref: ConfigRef, namespace: string): Promise<KubeObject | undefined>;
  /** The namespace itself; `undefined`: nobody has it. */
  namespace(name: string): Promise<KubeObject | undefined>;
  /** Addresses of production that a copy must not reach, as `HOST:PORT`. */
  readonly addresses: readonly string[];
}
