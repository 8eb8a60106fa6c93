import type { FreezeContext } from '../engine.ts';
import { PostgresHold } from './hold.ts';
import type { Layout } from './layout.ts';
import { parseLsn, walFileName } from './lsn.ts';
import { writeMarker } from './marker.ts';
import type { Plan } from './plan.ts';
import {
  LABEL_FILE,
  type PostgresPosition,
  type PostgresRestore,
  TABLESPACE_MAP_FILE,
} from './receipt.ts';
import { retainWal } from './retain.ts';
import { beginBackup, type Begun, sealBackup, type SealedBackup } from './sealed.ts';
import { readServer, type ServerFacts } from './server.ts';
import type { Session } from './session.ts';
import { Watch } from './watch.ts';

/** What `beginFreeze` has done, for `completeFreeze` to go on with. */
export interface Begin {
  readonly session: Session;
  readonly plan: Plan;
  readonly layout: Layout;
  /** `null` in crash-consistent mode. */
  readonly backup: Begun | null;
  /** Sentences for the receipt. */
  readonly notes: readonly string[];
}

/**
 * The slow half of a freeze, which blocks nobody: the fast checkpoint, as the start of a backup where
 * the plan allows one. Writers feel its I/O once only, so there is no other checkpoint before it.
 */
export async function beginFreeze(
  session: Session,
  plan: Plan,
  layout: Layout,
  id: string,
  signal: AbortSignal,
): Promise<Begin> {
  const notes = [...plan.notes, ...layout.notes];
  if (plan.mode === 'crash-consistent') {
    if (plan.checkpoint) await session.query('CHECKPOINT', [], signal);
    return { session, plan, layout, backup: null, notes };
  }
  const notKept = await retainWal(session, signal);
  if (notKept !== null) notes.push(notKept);
  const backup = await beginBackup(session, `quiesce ${id}`, signal);
  return { session, plan, layout, backup, notes };
}

/**
 * The freeze itself: the backup is sealed and its label kept beside the data; then the marker, last.
 * On a standby there is no marker, for it cannot write; its position is what it has replayed, which
 * WAL on its own disk covers.
 *
 * @param open opens another session to the same server.
 */
export async function completeFreeze(
  begun: Begin,
  context: FreezeContext,
  open: (signal: AbortSignal) => Promise<Session>,
  signal: AbortSignal,
): Promise<PostgresHold> {
  const { session, plan } = begun;
  const backup = begun.backup ? await sealBackup(session, begun.backup, signal) : null;
  if (backup) await context.keep(filesOf(backup));
  const server = await readServer(session, signal);
  const databases = await listDatabases(session, signal);
  const markerLsn = server.inRecovery ? null : await writeMarker(session, context.id, signal);
  const lsn = markerLsn ?? (await replayedTo(session, signal));
  const position = positionOf(server, backup, lsn, markerLsn);
  const notes = [...begun.notes];
  if (backup && !backup.labelAsBuilt) {
    notes.push(
      'The label the server returned differs from the one computed; the server’s is kept.',
    );
  }
  const restore = restoreOf(begun.layout, server, position, backup, databases);
  const facts = { mode: plan.mode, server, position, restore, reasons: plan.reasons, notes };
  const again = async (signal: AbortSignal): Promise<Session> => {
    const next = await open(signal);
    if (plan.mode === 'sealed') await retainWal(next, signal);
    return next;
  };
  return new PostgresHold(facts, new Watch(session, server, again));
}

function filesOf(backup: SealedBackup): Record<string, string> {
  const files: Record<string, string> = { [LABEL_FILE]: backup.label };
  if (backup.tablespaceMap !== null) files[TABLESPACE_MAP_FILE] = backup.tablespaceMap;
  return files;
}

function positionOf(
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

function restoreOf(
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

async function listDatabases(session: Session, signal: AbortSignal): Promise<string[]> {
  const rows = await session.query<{ name: string }>(
    'SELECT datname::text AS name FROM pg_catalog.pg_database ORDER BY 1',
    [],
    signal,
  );
  return rows.map((row) => row.name);
}

async function replayedTo(session: Session, signal: AbortSignal): Promise<string> {
  const [row] = await session.query<{ lsn: string }>(
    'SELECT pg_catalog.pg_last_wal_replay_lsn()::text AS lsn',
    [],
    signal,
  );
  if (!row) throw new Error('the standby told no replayed position');
  return row.lsn;
}
