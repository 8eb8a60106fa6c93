import { QuiesceError } from '../../../errors.ts';
import { buildLabel, sameLabel, sameTablespaceMap } from './label.ts';
import { readServer, type ServerFacts } from '../server.ts';
import type { Session } from '../connection/session.ts';

/** A backup that has ended: everything a restore needs to start from it. */
export interface SealedBackup {
  readonly startLsn: string;
  readonly checkpointLsn: string;
  readonly stopLsn: string;
  readonly timeline: number;
  /** Byte for byte as `pg_backup_stop` returned it. */
  readonly label: string;
  readonly tablespaceMap: string | null;
  /** Whether label and map, built before the stop, equal the ones that the stop returned. */
  readonly labelAsBuilt: boolean;
}

/** A backup that has begun and not ended. */
export interface BegunBackup {
  readonly lsn: string;
  readonly startTime: string;
  readonly label: string;
}

interface Functions {
  readonly start: string;
  readonly stop: string;
}

/** The non-exclusive backup functions, by version (documentation, "Backup Control Functions"). */
export function backupFunctions(major: number): Functions {
  return major >= 15
    ? { start: 'pg_backup_start($1, true)', stop: 'pg_backup_stop(false)' }
    : { start: 'pg_start_backup($1, true, false)', stop: 'pg_stop_backup(false, false)' };
}

const ATTEMPTS = 5;

/**
 * Begins a backup with a fast checkpoint: the slow half, which blocks no writer. `sealBackup` ends
 * it, or the server when the session ends.
 */
export async function beginBackup(
  session: Session,
  label: string,
  signal: AbortSignal,
): Promise<BegunBackup> {
  // The server prints the label's time in log_timezone.
  await session.query(
    `SELECT pg_catalog.set_config('TimeZone', pg_catalog.current_setting('log_timezone'), false)`,
    [],
    signal,
  );
  return await start(session, label, signal);
}

/**
 * Ends the backup without waiting for the archiver: the sealed backup. Begins again if another
 * checkpoint came between the start and the look at the control file, because the two then describe
 * different checkpoints.
 *
 * Always `stop(false)`: waiting for a failing archiver would lose the label.
 *
 * @throws QuiesceError ENGINE_FAILED if that happens five times in a row.
 */
export async function sealBackup(
  session: Session,
  first: BegunBackup,
  signal: AbortSignal,
): Promise<SealedBackup> {
  let begun = first;
  for (let attempt = 1; attempt <= ATTEMPTS; attempt += 1) {
    const facts = await readServer(session, signal);
    const built = { label: labelFor(begun, facts), map: await tablespaceMap(session, signal) };
    const ended = await stopBackup(session, signal);
    if (facts.redoLsn === begun.lsn) {
      return {
        startLsn: begun.lsn,
        checkpointLsn: facts.checkpointLsn,
        stopLsn: ended.lsn,
        timeline: facts.timeline,
        label: ended.label,
        tablespaceMap: ended.map,
        labelAsBuilt:
          sameLabel(built.label, ended.label) && sameTablespaceMap(built.map, ended.map),
      };
    }
    begun = await start(session, begun.label, signal);
  }
  throw new QuiesceError(
    'ENGINE_FAILED',
    `Another checkpoint came between the start of the backup and its description, ${ATTEMPTS} times in a row.`,
  );
}

async function start(session: Session, label: string, signal: AbortSignal): Promise<BegunBackup> {
  const call = backupFunctions(session.major).start;
  const [row] = await session.query<Omit<BegunBackup, 'label'>>(
    `SELECT pg_catalog.${call}::text AS lsn,
            pg_catalog.to_char(pg_catalog.clock_timestamp(), 'YYYY-MM-DD HH24:MI:SS TZ') AS "startTime"`,
    [label],
    signal,
  );
  if (!row)
    throw new QuiesceError('ENGINE_FAILED', 'The start of the backup returned no position.');
  return { ...row, label };
}

/** Ends the backup that this session began, without waiting for the archiver. */
export async function stopBackup(
  session: Session,
  signal: AbortSignal,
): Promise<{ lsn: string; label: string; map: string | null }> {
  const [row] = await session.query<{ lsn: string; label: string; map: string }>(
    `SELECT lsn::text AS lsn, labelfile AS label, spcmapfile AS map FROM pg_catalog.${backupFunctions(session.major).stop}`,
    [],
    signal,
  );
  if (!row) throw new QuiesceError('ENGINE_FAILED', 'The stop of the backup returned no label.');
  return { ...row, map: row.map === '' ? null : row.map };
}

function labelFor(begun: BegunBackup, facts: ServerFacts): string {
  return buildLabel({
    startLsn: begun.lsn,
    checkpointLsn: facts.checkpointLsn,
    timeline: facts.timeline,
    segmentSize: facts.segmentSize,
    inRecovery: facts.inRecovery,
    startTime: begun.startTime,
    label: begun.label,
    major: facts.major,
  });
}

/**
 * One line `OID path` for each tablespace that is a link. In-place tablespaces are not in the map.
 */
async function tablespaceMap(session: Session, signal: AbortSignal): Promise<string | null> {
  const rows = await session.query<{ oid: string; path: string }>(
    `SELECT oid::text AS oid, pg_catalog.pg_tablespace_location(oid) AS path
       FROM pg_catalog.pg_tablespace WHERE pg_catalog.pg_tablespace_location(oid) LIKE '/%'`,
    [],
    signal,
  );
  return rows.length === 0
    ? null
    : rows.map((row) => `${row.oid} ${escapeLink(row.path)}\n`).join('');
}

/** As the server writes it: a backslash escapes newlines and backslashes of a path. */
function escapeLink(path: string): string {
  return path.replace(/[\\\n\r]/g, (character) => `\\${character}`);
}
