import type { BegunBackup } from '../../backup/backup.ts';
import type { Stager } from './copy.ts';
import type { ModeInput } from '../mode.ts';
import type { Space } from './space.ts';

/** A staged backup under way. */
export interface Staging extends ModeInput {
  /** `.quiesce/<name>` on the volume. */
  readonly folder: string;
  /** PGDATA as mounted here, and relative to the volume. */
  readonly pgdata: string;
  readonly begun: BegunBackup;
  readonly stager: Stager;
  readonly space: Space;
  readonly notes: readonly string[];
}
