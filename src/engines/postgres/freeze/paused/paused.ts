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
/** Less than the grace of the dead-man's switch. */
const FREEZE_WITHIN_MS = 25_000;

interface CaughtUp {
  readonly report: PrimaryReport;
  readonly waitMs: number;
}

/**
 * A standby whose replay is made to stand still, so that its files do too: for one volume cut
 * atomically, and for files copied one by one. What such a copy holds is proven as on any sealed
 * freeze: by a label, and WAL from its start to the position.
 *
 * The slow half waits until the standby has replayed what its primary had reported when the freeze
 * began. Nothing is paused yet.
 *
 * @param onWait told how long that took, in seconds, also where the freeze was given up meanwhile.
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
  // What is written now does not have to be while replay stands still.
  if (privileges.checkpoint) await session.query('CHECKPOINT', [], signal);
  const report = await readPrimaryReport(session, signal);
  const began = performance.now();
  try {
    const tell = (bytes: bigint): void =>
      context.progress(`replay is ${bytes} bytes behind the primary's position ${report.lsn}`);
    await waitForReplay(session, report.lsn, tell, signal);
  } finally {
    onWait((performance.now() - began) / 1_000);
  }
  const caughtUp = { report, waitMs: Math.round(performance.now() - began) };
  return {
    hold: (until) => pause(input, caughtUp, until),
    close: () => session.close(),
  };
}

/** All of it or nothing: without the end of the pause there is no freeze, and no weaker mode. */
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
 * The claim is in the journal before replay is paused: whatever dies from here on, it is resumed.
 * The dead-man's switch follows at once; armed earlier, its snapshot would hold replay back.
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

/** The server's own switch would cut the end of the lease off. */
function tooSlow(): QuiesceError {
  return new QuiesceError(
    'ENGINE_FAILED',
    `Between the pause of replay and the end of the restartpoint passed more than ${FREEZE_WITHIN_MS / 1_000} s.`,
    {
      hint: 'Let restartpoints come more often (checkpoint_timeout, max_wal_size), or freeze when the standby is quieter.',
    },
  );
}

/**
 * While replay stands still: the restartpoint that a backup begins with, so that no other one
 * writes or recycles WAL during the copy; its label; and the proof that replay has not moved.
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
      `Replay did not stand still while the freeze was made: it is ${state}, at ${now} after ${lsn}.`,
    );
  }
  const replica = { primaryLsn: report.lsn, reportedAt: report.reportedAt, waitMs };
  const position: PostgresPosition = { ...positionOf(server, backup, lsn, null), replica };
  const notes = [
    ...layout.notes,
    ...layout.outside,
    `A copy holds all that the primary had committed up to ${report.lsn}: its position as it had last reported it, ${Math.max(0, Math.round(report.ageMs))} ms before the freeze asked. The wait for replay took ${waitMs} ms.`,
    'Replay stands still until the thaw: queries on this standby see no newer data, and WAL it receives piles up.',
  ];
  const restore = restoreOf(layout, server, position, backup, databases);
  return { mode: 'replica-paused', server, position, restore, reasons: [], notes };
}

/**
 * Does not return before replay goes on: a freeze that failed must not leave a standby behind that
 * falls back further and further. The journal names the pause meanwhile.
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
        `replay may still be paused and is tried to be resumed: ${toQuiesceError(error).message}`,
      );
      await sleep(UNDO_AGAIN_AFTER_MS);
    }
  }
}
