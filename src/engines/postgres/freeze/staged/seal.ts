import { readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { QuiesceError } from '../../../../errors.ts';
import { stopBackup } from '../../backup/backup.ts';
import {
  ControlFileError,
  parseControlFile,
  readControlFile,
} from '../../data-dir/control-file.ts';
import { parseLsn, walFileName } from '../../lsn.ts';
import { writeMarker } from '../../backup/marker.ts';
import { listDatabases, replayedTo } from '../position.ts';
import type { Staging } from './staging.ts';
import type { PostgresPosition, PostgresRestore } from '../../receipt.ts';
import { type ReceiptClaims, readLabel } from '../../restore/receipt-claims.ts';
import { proveWal } from '../../restore/prove-copy.ts';
import { compareRuns, readServer, type ServerFacts } from '../../server.ts';

interface SealedFacts {
  readonly server: ServerFacts;
  readonly position: PostgresPosition;
  readonly restore: PostgresRestore;
}

/**
 * Ends the backup whose data is copied. Copies pg_control last, as the documentation demands of a
 * standby. Then ends the backup, writes its label and the marker, and copies all WAL from the start
 * to the marker. Finally reads the staged WAL back, record by record.
 */
export async function sealStaged(staging: Staging, signal: AbortSignal): Promise<SealedFacts> {
  const { session, server, stager, context } = staging;
  await copyControl(staging, signal);
  const ended = await stopBackup(session, signal);
  await stager.write('backup_label', ended.label);
  if (ended.map !== null) await stager.write('tablespace_map', ended.map);
  const now = await readServer(session, signal);
  const changed = compareRuns(server, now).filter(({ code }) => code !== 'timeline-changed');
  if (changed.length > 0) {
    throw new QuiesceError('ENGINE_FAILED', changed.map(({ note }) => note).join(' '));
  }
  const databases = await listDatabases(session, signal);
  const markerLsn = now.inRecovery ? null : await writeMarker(session, context.id, signal);
  const lsn = markerLsn ?? (await replayedTo(session, signal));
  const label = readLabel(ended.label);
  const names = /^START WAL LOCATION: (\S+) [^]*^CHECKPOINT LOCATION: (\S+)$/m.exec(ended.label);
  if (label === undefined || names?.[1] === undefined || names[2] === undefined) {
    throw new QuiesceError('ENGINE_FAILED', 'The label of the backup cannot be understood.');
  }
  const position: PostgresPosition = {
    lsn,
    startLsn: names[1],
    checkpointLsn: names[2],
    stopLsn: ended.lsn,
    markerLsn,
    timeline: label.timeline,
    serverStartedAt: now.serverStartedAt,
  };
  const restore = restoreFacts(staging, position, ended, databases);
  await copyWal(staging, position, signal);
  await prove(staging, { server: now, position, restore }, signal);
  return { server: now, position, restore };
}

function restoreFacts(
  { server }: Staging,
  position: PostgresPosition,
  ended: { readonly label: string; readonly map: string | null },
  databases: string[],
): PostgresRestore {
  const { segmentSize } = server;
  const { timeline, startLsn, lsn } = position;
  return {
    dataDirectory: null,
    backupLabel: ended.label,
    tablespaceMap: ended.map,
    wal: {
      segmentSize,
      first: walFileName(timeline, parseLsn(startLsn), segmentSize),
      last: walFileName(timeline, parseLsn(lsn) - 1n, segmentSize),
    },
    databases,
  };
}

const TORN_RETRIES = 10;

/** Repeats a read that the server tore with an update. */
async function copyControl({ pgdata, stager }: Staging, signal: AbortSignal): Promise<void> {
  const path = 'global/pg_control';
  for (let attempt = 1; ; attempt += 1) {
    signal.throwIfAborted();
    const bytes = await readFile(join(pgdata, path));
    try {
      parseControlFile(bytes);
      await stager.write(path, bytes);
      return;
    } catch (error) {
      if (!(error instanceof ControlFileError) || attempt >= TORN_RETRIES) throw error;
      await sleep(20);
    }
  }
}

/** Copies the segments from the start to the position, on every timeline, and the history files. */
async function copyWal(
  { pgdata, server, stager, begun }: Staging,
  position: PostgresPosition,
  signal: AbortSignal,
): Promise<void> {
  const { segmentSize } = server;
  const name = (lsn: string): string => walFileName(0, parseLsn(lsn), segmentSize).slice(8);
  const first = name(begun.lsn);
  const ends = [position.lsn, position.stopLsn ?? position.lsn].map(name);
  // The marker's commit may be in the next segment.
  const last = walFileName(0, parseLsn(position.lsn) + 8192n, segmentSize).slice(8);
  const until = [...ends, last].reduce((one, other) => (one > other ? one : other));
  await stager.makeFolder('pg_wal', 0o700);
  await stager.makeFolder('pg_wal/archive_status', 0o700);
  for (const file of (await readdir(join(pgdata, 'pg_wal'))).sort()) {
    const segment = /^[0-9A-F]{8}([0-9A-F]{16})$/.exec(file)?.[1];
    const wanted = segment !== undefined && segment >= first && segment <= until;
    if (wanted || /^[0-9A-F]{8}\.history$/.test(file)) await stager.copy(`pg_wal/${file}`, signal);
  }
}

async function prove(
  { folder, context, begun, notes }: Staging,
  { server, position, restore }: SealedFacts,
  signal: AbortSignal,
): Promise<void> {
  const claims: ReceiptClaims = {
    id: context.id,
    mode: 'staged',
    isStandby: server.inRecovery,
    systemIdentifier: server.systemIdentifier,
    major: server.major,
    frozenAt: new Date(),
    expiresAt: null,
    position,
    restore,
  };
  const base = join(folder, 'base');
  try {
    if (begun.lsn !== position.startLsn) throw new Error('the label has another start position.');
    await proveWal(base, claims, await readControlFile(base), signal);
  } catch (error) {
    signal.throwIfAborted();
    const why = error instanceof Error ? error.message : String(error);
    throw new QuiesceError(
      'ENGINE_FAILED',
      `The staged backup is incomplete: ${why} ${notes.join(' ')}`.trim(),
      { cause: error },
    );
  }
}
