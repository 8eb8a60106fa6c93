import { RESTORE_CHECKS, type RestoreCheckLevel } from '../../receipt/restore-level.ts';
import type { ObjectApi } from '../api/objects.ts';
import type { Health } from '../health/state.ts';
import type { DrillMode } from '../restore/document.ts';
import type { PodCalls } from '../run/sidecar-ways.ts';
import type { DrillSource } from './source.ts';

/** How far a drill may check the data. */
export const DRILL_CHECKS = RESTORE_CHECKS;

export interface DrillParts {
  readonly api: ObjectApi;
  readonly pods: PodCalls;
  readonly source: DrillSource;
  /** Judges the members of a whole application. */
  readonly health: Health;
}

export interface DrillOptions {
  /** Of Lease and record. */
  readonly home: string;
  readonly mode: DrillMode;
  readonly check: RestoreCheckLevel;
  readonly timeoutMs: number;
  readonly expiresMs: number;
  readonly image?: string | undefined;
  readonly scratch?: string | undefined;
  readonly storageClasses: ReadonlyMap<string, string>;
  /** Nothing proves that the copies reach nobody. */
  readonly withoutIsolation: boolean;
  readonly keepScratch: boolean;
  readonly progress: (sentence: string) => void;
  /** One line for people. */
  readonly say: (sentence: string) => void;
}
