import { setTimeout as sleep } from 'node:timers/promises';
import { z } from 'zod';
import { QuiesceError } from '../../../../errors.ts';
import type { JsonObject } from '../../../engine.ts';
import { withSession } from '../../../shared/with-session.ts';
import { nothingListens } from '../../connection/sqlstate.ts';
import { readServer, type ServerFacts } from '../../server.ts';
import type { Session } from '../../connection/session.ts';

const LOOK_EVERY_MS = 10;
/**
 * The application name of the session that will resume replay. Any later process finds it by this
 * name.
 */
export const RESUME_SWITCH = 'quiesce resume switch';

const backendSchema = z.object({ pid: z.number().int(), startedAt: z.string() });
export type Backend = z.infer<typeof backendSchema>;

/**
 * A pause of replay that is ours, as the journal keeps it. A pause is in the server's memory: it
 * outlives our session and our process, and ends with the run of the server (documentation,
 * "Recovery Control Functions").
 */
const pauseRecordSchema = z.object({
  systemIdentifier: z.string(),
  serverStartedAt: z.string(),
  checkpointerStartedAt: z.string().nullable(),
  /** The backend that was asked to pause; `null` once it has answered. */
  backend: backendSchema.nullable(),
});
export type PauseRecord = z.infer<typeof pauseRecordSchema>;

/** As `pg_get_wal_replay_pause_state()` returns it. */
export type PauseState = 'not paused' | 'pause requested' | 'paused';

/** The pause in a journal made by `journalOf`; `null` where there is none. */
export function pauseInJournal(journal: JsonObject | null): PauseRecord | null {
  return pauseRecordSchema.safeParse(journal?.['replayPause']).data ?? null;
}

export function journalOf(record: PauseRecord): JsonObject {
  return { replayPause: record };
}

/** The server process behind a session. */
export async function thisBackend(session: Session, signal: AbortSignal): Promise<Backend> {
  const [backend] = await session.query<Backend>(
    `SELECT pid, backend_start::text AS "startedAt" FROM pg_catalog.pg_stat_activity
      WHERE pid = pg_catalog.pg_backend_pid()`,
    [],
    signal,
  );
  if (!backend) throw new Error('the server does not list the session of the freeze');
  return backend;
}

/** The record to write to the journal before `pauseReplay` is called on this session. */
export async function recordPause(
  session: Session,
  server: ServerFacts,
  signal: AbortSignal,
): Promise<PauseRecord> {
  const backend = await thisBackend(session, signal);
  const { systemIdentifier, serverStartedAt, checkpointerStartedAt } = server;
  return { systemIdentifier, serverStartedAt, checkpointerStartedAt, backend };
}

/**
 * Whether replay has stopped. PostgreSQL 14 and newer report it. 13 only reports that a pause was
 * requested; there the startup process shows it, by waiting between two records: for the end of the
 * pause, or for WAL, in which case it would check the request before replaying more (source:
 * StartupXLOG, measured on 13.23). A server that is not in recovery is not paused.
 */
export async function readPauseState(session: Session, signal: AbortSignal): Promise<PauseState> {
  const sql =
    session.major >= 14
      ? `SELECT CASE WHEN pg_catalog.pg_is_in_recovery()
                     THEN pg_catalog.pg_get_wal_replay_pause_state() ELSE 'not paused' END AS state`
      : `SELECT CASE WHEN NOT pg_catalog.pg_is_in_recovery() THEN 'not paused'
                     WHEN NOT pg_catalog.pg_is_wal_replay_paused() THEN 'not paused'
                     WHEN EXISTS (SELECT FROM pg_catalog.pg_stat_activity
                                   WHERE backend_type = 'startup' AND wait_event IN
                                         ('RecoveryPause', 'RecoveryWalStream', 'RecoveryRetrieveRetryInterval'))
                     THEN 'paused' ELSE 'pause requested' END AS state`;
  const [row] = await session.query<{ state: PauseState }>(sql, [], signal);
  if (!row) throw new Error('the standby did not say whether replay is paused');
  return row.state;
}

/**
 * Pauses replay, and waits until it has stopped.
 *
 * @throws QuiesceError ENGINE_REPLAY_PAUSED where it was already paused. That pause is not ours, so
 * do not call `endPause`.
 */
export async function pauseReplay(session: Session, signal: AbortSignal): Promise<void> {
  const [row] = await session.query<{ ours: boolean }>(
    `SELECT CASE WHEN pg_catalog.pg_is_wal_replay_paused() THEN false
                 ELSE pg_catalog.pg_wal_replay_pause()::text IS NOT NULL END AS ours`,
    [],
    signal,
  );
  if (row?.ours !== true) throw pausedBefore();
  for (;;) {
    const state = await readPauseState(session, signal);
    if (state === 'paused') return;
    if (state === 'not paused') {
      throw new QuiesceError(
        'ENGINE_FAILED',
        'Another session resumed replay while it was being paused.',
      );
    }
    await sleep(LOOK_EVERY_MS, undefined, { signal });
  }
}

export function pausedBefore(): QuiesceError {
  return new QuiesceError(
    'ENGINE_REPLAY_PAUSED',
    'Replay on this standby was already paused before the freeze. A thaw would end that pause, which the freeze did not make.',
  );
}

/**
 * Ends the pause that `record` describes and proves that replay goes on. Does nothing where the
 * pause is already gone: another run of the server, or a promotion.
 *
 * @throws QuiesceError when replay may still be paused. Call it again then.
 */
export async function endPause(
  session: Session,
  record: PauseRecord,
  signal: AbortSignal,
): Promise<void> {
  if (record.backend) await endBackend(session, record.backend, signal);
  await resumeReplay(session, record, signal);
  await endSwitches(session, signal);
}

/** As `endPause`, in its own session. If the server is gone, so is the pause. */
export async function endPauseThrough(
  open: (signal: AbortSignal) => Promise<Session>,
  record: PauseRecord,
  signal: AbortSignal,
): Promise<void> {
  try {
    await withSession(open(signal), (session) => endPause(session, record, signal));
  } catch (error) {
    if (!nothingListens(error)) throw error;
  }
}

async function resumeReplay(
  session: Session,
  record: PauseRecord,
  signal: AbortSignal,
): Promise<void> {
  for (;;) {
    if (!(await isSameRecovery(session, record, signal))) return;
    if ((await readPauseState(session, signal)) === 'not paused') return;
    await session
      .query('SELECT pg_catalog.pg_wal_replay_resume()', [], signal)
      .catch(async (error: unknown) => {
        // After a promotion there is nothing left to resume.
        if (await isSameRecovery(session, record, signal)) throw error;
      });
  }
}

async function isSameRecovery(
  session: Session,
  record: PauseRecord,
  signal: AbortSignal,
): Promise<boolean> {
  const now = await readServer(session, signal);
  const crashed =
    record.checkpointerStartedAt !== null &&
    now.checkpointerStartedAt !== null &&
    record.checkpointerStartedAt !== now.checkpointerStartedAt;
  const sameRun =
    record.systemIdentifier === now.systemIdentifier &&
    record.serverStartedAt === now.serverStartedAt;
  return now.inRecovery && sameRun && !crashed;
}

/**
 * Ends the switches of this role, by name: one that was armed at the moment of a crash is not in
 * the journal.
 */
async function endSwitches(session: Session, signal: AbortSignal): Promise<void> {
  for (;;) {
    const rows = await session.query(
      `SELECT pg_catalog.pg_terminate_backend(pid) FROM pg_catalog.pg_stat_activity
        WHERE application_name = $1 AND usename = current_user AND pid <> pg_catalog.pg_backend_pid()`,
      [RESUME_SWITCH],
      signal,
    );
    if (rows.length === 0) return;
    await sleep(LOOK_EVERY_MS, undefined, { signal });
  }
}

/**
 * Ends a backend and waits until it is gone. A backend that has not answered may still carry out
 * the pause it was asked for, much later (measured with one stopped by a signal). The backend
 * belongs to our own role, which may end it without any grant.
 */
export async function endBackend(
  session: Session,
  backend: Backend,
  signal: AbortSignal,
): Promise<void> {
  for (;;) {
    const rows = await session.query(
      `SELECT pg_catalog.pg_terminate_backend(pid) FROM pg_catalog.pg_stat_activity
        WHERE pid = $1 AND backend_start = $2::timestamptz AND pid <> pg_catalog.pg_backend_pid()`,
      [backend.pid, backend.startedAt],
      signal,
    );
    if (rows.length === 0) return;
    await sleep(LOOK_EVERY_MS, undefined, { signal });
  }
}
