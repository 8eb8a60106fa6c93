import { QuiesceError } from '../../../../errors.ts';
import { unlessAborted, withDeadline } from '../../../../lib/deadline.ts';
import type { Hold } from '../../../engine.ts';
import { beginBackup, type BegunBackup } from '../../backup/backup.ts';
import { askLayout } from '../../data-dir/layout.ts';
import { parseLsn, walFileName } from '../../lsn.ts';
import { CLEAR_WITHIN_MS, KEEP_WAL_MS, listTablespaces, OpenHold } from './hold.ts';
import { type CutPlan, orderSentence, orderOf, planCuts } from './cut-order.ts';
import { missingForSealed } from '../../privileges.ts';
import type { PostgresPosition, PostgresRestore } from '../../receipt.ts';
import { keepWal } from '../../backup/wal-slot.ts';
import { readServer, type ServerFacts } from '../../server.ts';
import { clearEvidence, evidenceIn, writeEvidence } from './tablespace-evidence.ts';
import { isRefusal } from '../../data-dir/volumes.ts';
import { Watch } from '../watch.ts';
import { listDatabases } from '../position.ts';
import { type ModeInput, type PreparedFreeze, refuseLayout } from '../mode.ts';

/**
 * `copy: volumes`, several volumes, each cut atomically at its own moment: a backup that stays open
 * in one session from freeze to thaw. Cuts of data and tablespaces made meanwhile may be torn
 * against each other. Recovery from the label repairs that with the WAL from start to stop, whose
 * volume is cut after the thaw.
 *
 * The start (a fast checkpoint) blocks no writer. A slot must keep the WAL: without it the segment
 * where the backup starts is gone by its end (measured, 6 of 6 versions).
 */
export async function prepareOpen(input: ModeInput, signal: AbortSignal): Promise<PreparedFreeze> {
  const { session, server, privileges, context } = input;
  if (context.thawLast === true) {
    throw new QuiesceError(
      'COPY_UNSUPPORTED',
      'With copy: volumes, the volume of pg_wal must be cut after the thaw, and this caller (a hook of Velero) cuts every volume before it: no restore would accept such a copy.',
      {
        hint: 'For Velero, keep pg_wal and all tablespaces on the volume of PGDATA and set QUIESCE_COPY=snapshot.',
      },
    );
  }
  if (server.inRecovery) {
    throw new QuiesceError(
      'COPY_UNSUPPORTED',
      'On a standby, copies of several volumes cannot be proven, because nothing in its WAL shows where the backup ends.',
      {
        hint: 'Freeze the primary, or keep all data on one volume and set QUIESCE_COPY=snapshot.',
      },
    );
  }
  if (server.walLevel === 'minimal') {
    throw new QuiesceError('COPY_UNSUPPORTED', 'wal_level is minimal: no backup can be started.', {
      hint: 'Set wal_level to replica, or keep all data on one volume and set QUIESCE_COPY=snapshot.',
    });
  }
  const missing = missingForSealed(privileges, server.major);
  if (missing.length > 0) {
    throw new QuiesceError(
      'ENGINE_PRIVILEGE',
      `The role ${privileges.role} lacks what copy: volumes needs: ${missing.join(' ')}`,
      { hint: `Run as a superuser: ${missing.join(' ')}` },
    );
  }
  const plan = await planCutsFor(input, signal);
  await requireSlot(input, signal);
  const begun = await beginBackup(session, `quiesce ${context.id}`, signal);
  return {
    hold: (until) => open({ ...input, plan, begun }, until),
    close: () => session.close(),
  };
}

async function planCutsFor(input: ModeInput, signal: AbortSignal): Promise<CutPlan> {
  const { session, server, layout, dataDir } = input;
  const { pgdata, relative } = layout;
  if (dataDir === undefined || pgdata === null || relative === null) {
    throw refuseLayout({
      message:
        'The sidecar cannot tell which volume contains what: PGDATA is not mounted at QUIESCE_DATA_DIR.',
      hint: 'Mount the volumes of data, tablespaces and pg_wal and set QUIESCE_DATA_DIR, or keep all data on one volume and set QUIESCE_COPY=snapshot.',
    });
  }
  const asked = await askLayout(session, server, dataDir, signal);
  const cutting = planCuts({ ...asked, pgdata, relative, notes: [...layout.notes] });
  const plan = await unlessAborted(cutting, signal);
  if (isRefusal(plan)) throw refuseLayout(plan);
  return plan;
}

async function requireSlot({ session, context }: ModeInput, signal: AbortSignal): Promise<void> {
  try {
    await keepWal(session, context.ttlMs, signal);
  } catch (error) {
    if (!(error instanceof QuiesceError) || error.code !== 'ENGINE_FAILED') throw error;
    throw new QuiesceError(
      'ENGINE_FAILED',
      `Without a replication slot the WAL of the backup is not kept: ${error.message}`,
      {
        cause: error,
        hint: 'Free a slot (SELECT slot_name, active FROM pg_replication_slots; SELECT pg_drop_replication_slot(NAME);) or raise max_replication_slots.',
      },
    );
  }
}

interface OpenInput extends ModeInput {
  readonly plan: CutPlan;
  readonly begun: BegunBackup;
}

/**
 * Takes the hold, with what the receipt can say while the backup is open. Writes the evidence on
 * the volumes of tablespaces last.
 */
async function open(input: OpenInput, signal: AbortSignal): Promise<Hold> {
  const { session, context, plan, begun, layout } = input;
  const server = await readServer(session, signal);
  const tablespaces = await listTablespaces(session, signal);
  const position = positionOf(server, begun);
  const first = walFileName(position.timeline, parseLsn(begun.lsn), server.segmentSize);
  const restore: PostgresRestore = {
    dataDirectory: layout.relative,
    backupLabel: null,
    tablespaceMap: null,
    wal: { segmentSize: server.segmentSize, first, last: first },
    databases: await listDatabases(session, signal),
    order: orderOf(plan),
    volumes: [...plan.volumes],
  };
  const evidence = plan.tablespaces.map(evidenceIn);
  const notes = [
    ...layout.notes,
    `${orderSentence(plan)} WAL is kept for ${KEEP_WAL_MS / 1_000} s after the thaw.`,
  ];
  const { id } = context;
  const { keepSession } = input;
  const facts = { id, server, position, restore, notes, evidence, tablespaces, keepSession };
  // These files outlive this process, so the journal lists them first.
  if (evidence.length > 0) await context.remember({ evidence });
  const watch = await Watch.start(session, server, context.ttlMs, null, signal);
  const writing = writeEvidence(evidence, { id, startLsn: begun.lsn });
  try {
    await unlessAborted(writing, signal);
    signal.throwIfAborted();
    return new OpenHold(facts, watch);
  } catch (error) {
    await watch.stop();
    // A volume that hangs may finish the write late. The removal follows it, even then.
    const clearing = writing.catch(() => undefined).then(() => clearEvidence(evidence));
    await withDeadline(CLEAR_WITHIN_MS, clearing).catch(() => undefined);
    throw error;
  }
}

/**
 * The label that stop returns decides about the checkpoint; another one may have come since the
 * start.
 */
function positionOf(server: ServerFacts, begun: BegunBackup): PostgresPosition {
  return {
    lsn: begun.lsn,
    startLsn: begun.lsn,
    checkpointLsn: server.redoLsn === begun.lsn ? server.checkpointLsn : begun.lsn,
    stopLsn: null,
    markerLsn: null,
    timeline: server.timeline,
    serverStartedAt: server.serverStartedAt,
  };
}
