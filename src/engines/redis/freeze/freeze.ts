import type { FreezeContext, Hold, JsonObject } from '../../engine.ts';
import { type Durable, makeDurable, syncBefore } from './make-durable.ts';
import { type HoldFacts, RedisHold } from './hold.ts';
import type { ReconnectingSession } from '../connection/reconnecting.ts';
import { WritePause } from './write-pause.ts';
import { HELD_SETTINGS, type FreezePlan, waitForChildren } from './prepare.ts';
import type { CaughtUp } from './catch-up.ts';
import { readSample } from './key-sample.ts';
import { aofState, keyCounts, rdbState } from '../server.ts';
import { applyChanges, changesJournal, onlyChanges } from './config-changes.ts';
import { undoChanges } from './recover.ts';

const UNDO_WITHIN_MS = 3_000;

export interface PreparedFreeze {
  readonly plan: FreezePlan;
  readonly connection: ReconnectingSession;
  /** On a replica; `null` on a primary. */
  readonly caughtUp: CaughtUp | null;
  readonly sampleKeys: number;
}

/**
 * Turns off rewrites of the AOF, pauses writers, and makes every acknowledged write durable. Journals
 * each change before it makes it. A failure is undone here; if that fails too, `recover` undoes it.
 */
export async function holdServer(
  prepared: PreparedFreeze,
  context: FreezeContext,
  signal: AbortSignal,
): Promise<Hold> {
  const { plan, connection, sampleKeys } = prepared;
  await context.remember(changesJournal(plan.changes));
  try {
    const session = await connection.session(signal);
    await applyChanges(session, plan.changes, HELD_SETTINGS, signal);
    await waitForChildren(session, context, signal);
    const before = await syncBefore(plan, signal);
    signal.throwIfAborted();
    const writePause = new WritePause(context.ttlMs);
    const durable = await makeDurable({ plan, session, writePause, before, context, signal });
    const sample = await readSample(session, sampleKeys, signal);
    // Sampling takes time: restart the server's dead-man's switch, since the lease begins now.
    if (sample) await writePause.refresh(session, signal);
    signal.throwIfAborted();
    return new RedisHold(factsOf(prepared, durable, sample), connection, writePause);
  } catch (error) {
    const deadline = AbortSignal.timeout(UNDO_WITHIN_MS);
    await connection
      .run(deadline, (session) => undoChanges(session, plan.changes, false, deadline))
      .then(() => context.remember({}))
      .catch(() => undefined);
    connection.close();
    throw error;
  }
}

function factsOf(
  { plan, caughtUp }: PreparedFreeze,
  { server, synced }: Durable,
  sample: JsonObject | null,
): HoldFacts {
  const { info } = server;
  const proofs = [...(plan.serverSyncs ? ['server'] : []), ...(plan.files ? ['sidecar'] : [])];
  const position: JsonObject = {
    runId: server.runId,
    replid: server.replid,
    offset: server.offset,
    databases: keyCounts(info),
    aof: aofState(info),
    rdb: rdbState(info),
    // Who synced the files to the disk: the server, the sidecar, or both.
    fsyncedBy: proofs,
    ...(caughtUp ? { primary: caughtUp.primary, primaryOffset: caughtUp.offset } : {}),
    ...(sample ? { sample } : {}),
  };
  const restore: JsonObject = {
    persistence: plan.persistence,
    appendonly: plan.persistence === 'rdb' ? 'no' : 'yes',
    save: plan.save,
    dir: plan.files?.relative ?? null,
    dbfilename: plan.names.dbfilename,
    appendfilename: plan.names.appendfilename,
    appenddirname: plan.names.appenddirname,
    files: synced.map(({ fingerprint }) => ({ ...fingerprint })),
  };
  return {
    mode: plan.persistence === 'rdb' ? 'paused-saved' : 'paused-fsynced',
    server,
    files: plan.files,
    synced,
    changes: onlyChanges(plan.changes, HELD_SETTINGS),
    position,
    restore,
    reasons: plan.reasons,
    notes: plan.notes,
  };
}
