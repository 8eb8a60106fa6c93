import type { BegunBackup } from '../../backup/backup.ts';
import type { Stager } from './copy.ts';
import type { ModeInput } from '../mode.ts';
import type { Space } from './space.ts';

/** A staged backup in progress. */
export interface Staging extends ModeInput {
  /** `.quiesce/<name>` on the volume. */
  readonly folder: string;
  /** PGDATA as mounted in the sidecar. */
  readonly pgdata: string;
  readonly begun: BegunBackup;
  readonly stager: Stager;
  readonly space: Space;
  readonly notes: readonly string[];
}
