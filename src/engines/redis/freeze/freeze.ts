import type { FreezeContext, Hold, JsonObject } from '../../engine.ts';
import { type Durable, makeDurable, syncBefore } from './make-durable.ts';
import { type HoldFacts, RedisHold } from './hold.ts';
import type { Link } from '../connection/reconnecting.ts';
import { Pauser } from './write-pause.ts';
import { HELD_SETTINGS, type Plan, quiet } from './prepare.ts';
import type { CaughtUp } from './catch-up.ts';
import { readSample } from './key-sample.ts';
import { aofState, keyCounts, rdbState } from '../server.ts';
import { change, claimJournal, claimOf } from './config-changes.ts';
import { endClaim } from './recover.ts';

const UNDO_WITHIN_MS = 3_000;

export interface Prepared {
  readonly plan: Plan;
  readonly link: Link;
  /** On a replica. */
  readonly caughtUp: CaughtUp | null;
  readonly sampleKeys: number;
}

/**
 * Guards against rewrites, pauses writers, makes durable what they were promised. Journals what it
 * will change before it changes it; what fails on the way is undone here, and where that fails, too,
 * by `recover`.
 */
export async function holdServer(
  prepared: Prepared,
  context: FreezeContext,
  signal: AbortSignal,
): Promise<Hold> {
  const { plan, link, sampleKeys } = prepared;
  await context.remember(claimJournal(plan.claim));
  try {
    const session = await link.session(signal);
    await change(session, plan.claim, HELD_SETTINGS, signal);
    await quiet(session, context, signal);
    const before = await syncBefore(plan, signal);
    signal.throwIfAborted();
    const pauser = new Pauser(context.ttlMs);
    const durable = await makeDurable({ plan, session, pauser, before, context, signal });
    const sample = await readSample(session, sampleKeys, signal);
    // Where that took its time: the lease begins now, and the server's own switch with it.
    if (sample) await pauser.refresh(session, signal);
    signal.throwIfAborted();
    return new RedisHold(describe(prepared, durable, sample), link, pauser);
  } catch (error) {
    const within = AbortSignal.timeout(UNDO_WITHIN_MS);
    await link
      .run(within, (session) => endClaim(session, plan.claim, false, within))
      .then(() => context.remember({}))
      .catch(() => undefined);
    link.close();
    throw error;
  }
}

function describe(
  { plan, caughtUp }: Prepared,
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
    // Whose fsync has put it on the disk: the server's own, the sidecar's, or both.
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
    files: synced.map(({ print }) => ({ ...print })),
  };
  return {
    mode: plan.persistence === 'rdb' ? 'paused-saved' : 'paused-fsynced',
    server,
    files: plan.files,
    synced,
    claim: claimOf(plan.claim, HELD_SETTINGS),
    position,
    restore,
    reasons: plan.reasons,
    notes: plan.notes,
  };
}
