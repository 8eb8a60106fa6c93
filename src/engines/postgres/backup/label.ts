import { walFileName } from '../lsn.ts';
import { parseLsn } from '../lsn.ts';

export interface LabelFacts {
  /** As `pg_backup_start` returned it. */
  readonly startLsn: string;
  readonly checkpointLsn: string;
  readonly timeline: number;
  readonly segmentSize: number;
  readonly inRecovery: boolean;
  /** In the server's `log_timezone`, as `YYYY-MM-DD HH24:MI:SS TZ`. */
  readonly startTime: string;
  readonly label: string;
  /** Major version of the server: 13 calls a primary `master`. */
  readonly major: number;
}

/**
 * The `backup_label` of a backup that has begun, known before the backup ends. Equal byte for byte
 * to what `pg_backup_stop` returns (measured on 13–18, primaries and standbys), except for the
 * start time if the second changed in between.
 */
export function buildLabel(facts: LabelFacts): string {
  const file = walFileName(facts.timeline, parseLsn(facts.startLsn), facts.segmentSize);
  const primary = facts.major < 14 ? 'master' : 'primary';
  return [
    `START WAL LOCATION: ${facts.startLsn} (file ${file})`,
    `CHECKPOINT LOCATION: ${facts.checkpointLsn}`,
    'BACKUP METHOD: streamed',
    `BACKUP FROM: ${facts.inRecovery ? 'standby' : primary}`,
    `START TIME: ${facts.startTime}`,
    `LABEL: ${facts.label}`,
    `START TIMELINE: ${facts.timeline}`,
    '',
  ].join('\n');
}

/**
 * Whether two labels are equal. The start time is for human readers only and may differ by a
 * second.
 */
export function sameLabel(one: string, other: string): boolean {
  const essence = (label: string): string => label.replace(/^START TIME: .*$/m, '');
  return essence(one) === essence(other);
}

/** Whether two tablespace maps list the same links, in any order. */
export function sameTablespaceMap(one: string | null, other: string | null): boolean {
  const set = (map: string | null): string =>
    (map ?? '')
      .split('\n')
      .filter((line) => line !== '')
      .sort()
      .join('\n');
  return set(one) === set(other);
}
