import { parseLsn, walFileName } from '../lsn.ts';
import type { Layout } from '../data-dir/layout.ts';
import {
  LABEL_FILE,
  type PostgresPosition,
  type PostgresRestore,
  TABLESPACE_MAP_FILE,
} from '../receipt.ts';
import type { SealedBackup } from '../backup/backup.ts';
import type { ServerFacts } from '../server.ts';
import type { Session } from '../connection/session.ts';

/** The position for the receipt, from the backup (if there is one) and the marker. */
export function positionOf(
  server: ServerFacts,
  backup: SealedBackup | null,
  lsn: string,
  markerLsn: string | null,
): PostgresPosition {
  return {
    lsn,
    startLsn: backup?.startLsn ?? server.redoLsn,
    checkpointLsn: backup?.checkpointLsn ?? server.checkpointLsn,
    stopLsn: backup?.stopLsn ?? null,
    markerLsn,
    timeline: backup?.timeline ?? server.timeline,
    serverStartedAt: server.serverStartedAt,
  };
}

/** What a restore must put in place, and what it may expect. */
export function restoreOf(
  layout: Layout,
  server: ServerFacts,
  position: PostgresPosition,
  backup: SealedBackup | null,
  databases: string[],
): PostgresRestore {
  const { timeline, startLsn, lsn } = position;
  const { segmentSize } = server;
  return {
    dataDirectory: layout.relative,
    backupLabel: backup?.label ?? null,
    tablespaceMap: backup?.tablespaceMap ?? null,
    wal: {
      segmentSize,
      first: walFileName(timeline, parseLsn(startLsn), segmentSize),
      last: walFileName(timeline, parseLsn(lsn) - 1n, segmentSize),
    },
    databases,
  };
}

/** The names of all databases. */
export async function listDatabases(session: Session, signal: AbortSignal): Promise<string[]> {
  const rows = await session.query<{ name: string }>(
    'SELECT datname::text AS name FROM pg_catalog.pg_database ORDER BY 1',
    [],
    signal,
  );
  return rows.map((row) => row.name);
}

/** How far a standby has replayed. */
export async function replayedTo(session: Session, signal: AbortSignal): Promise<string> {
  const [row] = await session.query<{ lsn: string }>(
    'SELECT pg_catalog.pg_last_wal_replay_lsn()::text AS lsn',
    [],
    signal,
  );
  if (!row) throw new Error('the standby reported no replayed position');
  return row.lsn;
}

/** The files to keep with the data of a backup. */
export function filesOf(backup: SealedBackup): Record<string, string> {
  const files: Record<string, string> = { [LABEL_FILE]: backup.label };
  if (backup.tablespaceMap !== null) files[TABLESPACE_MAP_FILE] = backup.tablespaceMap;
  return files;
}
