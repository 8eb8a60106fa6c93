import type { ObjectApi } from '../api/objects.ts';
import type { Scene } from './scene.ts';
import type { PodCalls } from '../run/sidecar-ways.ts';
import type { Volumes } from './volumes.ts';

/** What a run works with. */
export interface RunParts {
  /** Plans the application, and looks at its pods. Called before the freeze, and after the cut. */
  look(signal: AbortSignal): Promise<Scene>;
  volumesOf(scene: Scene): Volumes;
  readonly api: ObjectApi;
  readonly pods: PodCalls;
}

export interface RunOptions {
  /** For the whole run. */
  readonly timeoutMs: number;
  /** Until every freeze must be in place. */
  readonly freezeTimeoutMs: number;
  /** Absent: each sidecar's own. */
  readonly ttlMs?: number | undefined;
  /** Of the Lease; absent: the first namespace of the application. */
  readonly leaseNamespace?: string | undefined;
  progress(sentence: string): void;
}
