import { setTimeout as sleep } from 'node:timers/promises';
import { QuiesceError, toQuiesceError } from '../../../../errors.ts';
import type { Hold } from '../../../engine.ts';
import { beginBackup, sealBackup } from '../../backup/backup.ts';
import type { HoldFacts } from '../sealed/hold.ts';
import { missingForSealed } from '../../privileges.ts';
import type { PostgresPosition } from '../../receipt.ts';
import { type PrimaryReport, readPrimaryReport, waitForReplay } from './catch-up.ts';
import { ResumeSwitch } from './resume-switch.ts';
import { PausedHold } from './hold.ts';
import {
  journalOf,
  endPauseThrough,
  recordPause,
  type PauseRecord,
  pausedBefore,
  pauseReplay,
  readPauseState,
} from './pause.ts';
import { readServer } from '../../server.ts';
import { grantExecute } from '../../connection/sqlstate.ts';
import { filesOf, listDatabases, positionOf, replayedTo, restoreOf } from '../position.ts';
import { type ModeInput, type PreparedFreeze, refuseLayout } from '../mode.ts';

const UNDO_WITHIN_MS = 8_000;
const UNDO_AGAIN_AFTER_MS = 1_000;
/** Less than the grace period of the dead-man's switch. */
const FREEZE_WITHIN_MS = 25_000;

interface CaughtUp {
  readonly report: PrimaryReport;
  readonly waitMs: number;
}

/**
 * A standby whose replay is paused, so that its files do not change: for one volume cut atomically,
 * and for files copied one by one. Such a copy is proven like that of any sealed freeze: by a
 * label, and WAL from its start to the position.
 *
 * The slow half waits until the standby has replayed everything its primary had reported when the
 * freeze began. Nothing is paused yet.
 *
 * @param onWait called with the seconds that the wait took, also where it was cancelled.
 */
export async function preparePaused(
  input: ModeInput,
  signal: AbortSignal,
  onWait: (seconds: number) => void,
): Promise<PreparedFreeze> {
  const { session, layout, privileges, context } = input;
  if (layout.refusal) throw refuseLayout(layout.refusal);
  await checkGrants(input, signal);
  if ((await readPauseState(session, signal)) !== 'not paused') throw pausedBefore();
  // What is written now need not be written while replay is paused.
  if (privileges.checkpoint) await session.query('CHECKPOINT', [], signal);
  const report = await readPrimaryReport(session, signal);
  const began = performance.now();
  try {
    const onBehind = (bytes: bigint): void =>
      context.progress(`replay is ${bytes} bytes behind the primary's position ${report.lsn}`);
    await waitForReplay(session, report.lsn, onBehind, signal);
  } finally {
    onWait((performance.now() - began) / 1_000);
  }
  const caughtUp = { report, waitMs: Math.round(performance.now() - began) };
  return {
    hold: (until) => pause(input, caughtUp, until),
    close: () => session.close(),
  };
}

/** Requires all grants: without the right to end a pause there is no freeze, and no weaker mode. */
async function checkGrants(
  { session, server, privileges }: ModeInput,
  signal: AbortSignal,
): Promise<void> {
  const missing = missingForSealed(privileges, server.major);
  const [row] = await session.query<{ pause: boolean; resume: boolean }>(
    `SELECT pg_catalog.has_function_privilege('pg_catalog.pg_wal_replay_pause()', 'EXECUTE') AS pause,
            pg_catalog.has_function_privilege('pg_catalog.pg_wal_replay_resume()', 'EXECUTE') AS resume`,
    [],
    signal,
  );
  if (!row?.pause) missing.push(grantExecute('pg_wal_replay_pause', privileges.role));
  if (!row?.resume) missing.push(grantExecute('pg_wal_replay_resume', privileges.role));
  if (missing.length === 0) return;
  const statements = missing.join(' ');
  throw new QuiesceError(
    'ENGINE_PRIVILEGE',
    `A freeze that pauses replay needs more than the role ${privileges.role} may do. Missing: ${statements}`,
    { hint: `Run as a superuser on the primary, in the database of PGDATABASE: ${statements}` },
  );
}

/**
 * The journal has the record before replay is paused, so that replay is resumed whichever process
 * dies from here on. The dead-man's switch follows at once. Armed earlier, its snapshot would hold
 * replay back.
 */
async function pause(input: ModeInput, caughtUp: CaughtUp, signal: AbortSignal): Promise<Hold> {
  const { session, context, open } = input;
  let record = await recordPause(session, input.server, signal);
  let resumeSwitch: ResumeSwitch | undefined;
  await context.remember(journalOf(record));
  try {
    await pauseReplay(session, signal);
    resumeSwitch = await ResumeSwitch.arm(open, session, context.ttlMs, signal);
    const armed = performance.now();
    record = { ...record, backend: null };
    await context.remember(journalOf(record));
    const facts = await sealWhilePaused(input, caughtUp, signal);
    if (performance.now() - armed > FREEZE_WITHIN_MS) throw tooSlow();
    return await PausedHold.over(facts, record, resumeSwitch, session, open, context.ttlMs, signal);
  } catch (error) {
    if (error instanceof QuiesceError && error.code === 'ENGINE_REPLAY_PAUSED') {
      await context.remember({});
    } else {
      await undo(record, open, session, (sentence) => context.progress(sentence));
      await resumeSwitch?.close();
    }
    throw error;
  }
}

/** The server's own switch would end the pause before the lease ends. */
function tooSlow(): QuiesceError {
  return new QuiesceError(
    'ENGINE_FAILED',
    `More than ${FREEZE_WITHIN_MS / 1_000} s passed between the pause of replay and the end of the restartpoint.`,
    {
      hint: 'Make restartpoints more frequent (checkpoint_timeout, max_wal_size), or freeze when the standby is less busy.',
    },
  );
}

/**
 * Takes, while replay is paused, the restartpoint that a backup begins with, so that no other one
 * writes or recycles WAL during the copy; the backup's label; and the proof that replay has not
 * moved.
 */
async function sealWhilePaused(
  input: ModeInput,
  { report, waitMs }: CaughtUp,
  signal: AbortSignal,
): Promise<HoldFacts> {
  const { session, context, layout } = input;
  const lsn = await replayedTo(session, signal);
  const begun = await beginBackup(session, `quiesce ${context.id}`, signal);
  const backup = await sealBackup(session, begun, signal);
  await context.keep(filesOf(backup));
  const databases = await listDatabases(session, signal);
  const server = await readServer(session, signal);
  const state = await readPauseState(session, signal);
  const now = await replayedTo(session, signal);
  if (!server.inRecovery || state !== 'paused' || now !== lsn) {
    throw new QuiesceError(
      'ENGINE_FAILED',
      `Replay moved during the freeze: it is ${state}, at ${now} after ${lsn}.`,
    );
  }
  const replica = { primaryLsn: report.lsn, reportedAt: report.reportedAt, waitMs };
  const position: PostgresPosition = { ...positionOf(server, backup, lsn, null), replica };
  const notes = [
    ...layout.notes,
    ...layout.outside,
    `A copy contains everything that the primary had committed up to ${report.lsn}: its position as last reported, ${Math.max(0, Math.round(report.ageMs))} ms before the freeze asked. The wait for replay took ${waitMs} ms.`,
    'Replay is paused until the thaw: queries on this standby see no newer data, and the WAL it receives accumulates.',
  ];
  const restore = restoreOf(layout, server, position, backup, databases);
  return { mode: 'replica-paused', server, position, restore, reasons: [], notes };
}

/**
 * Does not return before replay goes on: a failed freeze must not leave a standby behind that lags
 * further and further. The journal keeps the record of the pause meanwhile.
 */
async function undo(
  record: PauseRecord,
  open: ModeInput['open'],
  old: ModeInput['session'],
  progress: (sentence: string) => void,
): Promise<void> {
  await old.close();
  for (;;) {
    try {
      const signal = AbortSignal.timeout(UNDO_WITHIN_MS);
      return await endPauseThrough(open, record, signal);
    } catch (error) {
      progress(
        `replay may still be paused; trying again to resume it: ${toQuiesceError(error).message}`,
      );
      await sleep(UNDO_AGAIN_AFTER_MS);
    }
  }
}
