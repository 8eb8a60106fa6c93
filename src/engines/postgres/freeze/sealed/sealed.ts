import type { Hold } from '../../../engine.ts';
import { beginBackup, type BegunBackup, sealBackup } from '../../backup/backup.ts';
import { PostgresHold } from './hold.ts';
import { writeMarker } from '../../backup/marker.ts';
import { tryKeepWal } from '../../backup/wal-slot.ts';
import { readServer } from '../../server.ts';
import type { Session } from '../../connection/session.ts';
import { Watch } from '../watch.ts';
import { filesOf, listDatabases, positionOf, replayedTo, restoreOf } from '../position.ts';
import { type ModeInput, type PreparedFreeze, refuseLayout } from '../mode.ts';
import { planFreeze, type FreezePlan } from '../plan.ts';

/**
 * `copy: snapshot`, one volume cut atomically: a sealed freeze, or a crash-consistent one where the
 * server or the grants allow no more.
 *
 * The slow half blocks no writer: the fast checkpoint, as the start of a backup where the plan allows
 * one. There is no other checkpoint before it, so writers feel its I/O only once.
 */
export async function prepareSealed(
  input: ModeInput,
  signal: AbortSignal,
): Promise<PreparedFreeze> {
  const { session, server, privileges, layout, context } = input;
  if (layout.refusal) throw refuseLayout(layout.refusal);
  const plan = planFreeze(server, privileges);
  const notes = [...plan.notes, ...layout.notes, ...layout.outside];
  let begun: BegunBackup | null = null;
  if (plan.mode === 'sealed') {
    const notKept = await tryKeepWal(session, context.ttlMs, signal);
    if (notKept !== null) notes.push(notKept);
    begun = await beginBackup(session, `quiesce ${context.id}`, signal);
  } else if (plan.checkpoint) {
    await session.query('CHECKPOINT', [], signal);
  }
  return {
    hold: (until) => seal({ ...input, plan, begun, notes }, until),
    close: () => session.close(),
  };
}

interface SealInput extends ModeInput {
  readonly plan: FreezePlan;
  readonly begun: BegunBackup | null;
  readonly notes: readonly string[];
}

/**
 * The freeze itself: seals the backup and keeps its label with the data; then writes the marker,
 * last. A standby cannot write a marker. Its position is what it has replayed, which the WAL on its
 * own disk covers.
 */
async function seal(input: SealInput, signal: AbortSignal): Promise<Hold> {
  const { session, plan, context, begun } = input;
  const backup = begun ? await sealBackup(session, begun, signal) : null;
  if (backup) await context.keep(filesOf(backup));
  const server = await readServer(session, signal);
  const databases = await listDatabases(session, signal);
  const markerLsn = server.inRecovery ? null : await writeMarker(session, context.id, signal);
  const lsn = markerLsn ?? (await replayedTo(session, signal));
  const position = positionOf(server, backup, lsn, markerLsn);
  const notes = [...input.notes];
  if (backup && !backup.labelAsBuilt) {
    notes.push(
      'The label that the server returned differs from the computed one. The returned label is kept.',
    );
  }
  const restore = restoreOf(input.layout, server, position, backup, databases);
  const facts = { mode: plan.mode, server, position, restore, reasons: plan.reasons, notes };
  const reopen = async (signal: AbortSignal): Promise<Session> => {
    const next = await input.open(signal);
    try {
      if (plan.mode === 'sealed') await tryKeepWal(next, context.ttlMs, signal);
      return next;
    } catch (error) {
      await next.close();
      throw error;
    }
  };
  return new PostgresHold(facts, await Watch.start(session, server, context.ttlMs, reopen, signal));
}
