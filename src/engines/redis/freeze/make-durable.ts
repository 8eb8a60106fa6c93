import { QuiesceError } from '../../../errors.ts';
import { unlessAborted } from '../../../lib/deadline.ts';
import type { FreezeContext } from '../../engine.ts';
import { type Evidence, readEvidence } from './commands.ts';
import type { SyncedFile } from '../data-dir/synced-files.ts';
import type { WritePause } from './write-pause.ts';
import { type FreezePlan, waitForChildren, SYNC_SETTINGS } from './prepare.ts';
import { type Info, numberOf } from '../connection/replies.ts';
import type { ServerFacts } from '../server.ts';
import type { Session } from '../connection/session.ts';
import { applyChanges, revertChanges } from './config-changes.ts';
import { pause } from '../../../lib/deadline.ts';

const LOOK_EVERY_MS = 5;
/** How long all of the AOF is read for its digests while writers go on. */
const DIGEST_WITHIN_MS = 5_000;
/** An RDB file without a checksum is read under the pause. */
const DIGEST_SAVED_WITHIN_MS = 1_000;

/** A server whose acknowledged writes are all on the disk, and the files that hold them. */
export interface Durable {
  /** Read before the files were. Every later look is compared with it. */
  readonly server: Evidence;
  readonly synced: readonly SyncedFile[];
}

interface Step {
  readonly plan: FreezePlan;
  readonly session: Session;
  readonly writePause: WritePause;
  /** The files that were synced before writers were paused. */
  readonly before: readonly SyncedFile[];
  readonly context: FreezeContext;
  readonly signal: AbortSignal;
}

/**
 * Syncs and digests the AOF while writers still go on, so that little is left to do under the pause. Call
 * it after rewrites are turned off.
 */
export async function syncBefore(
  { persistence, files }: FreezePlan,
  signal: AbortSignal,
): Promise<readonly SyncedFile[]> {
  if (!files || persistence === 'rdb') return [];
  const found = await unlessAborted(files.aof(), signal);
  await unlessAborted(files.contents.begin(found, DIGEST_WITHIN_MS, signal), signal);
  return await unlessAborted(files.sync(found), signal);
}

/**
 * Pauses writers, writes everything the server has acknowledged to the disk, and proves it: by the
 * server's fsync where its reply proves that, and by our own where the files are mounted. Writers wait
 * from the beginning, so it makes few round trips and works in parallel.
 *
 * @throws QuiesceError ENGINE_FAILED, ENGINE_DATA_MISMATCH, COPY_UNSUPPORTED
 */
export async function makeDurable(step: Step): Promise<Durable> {
  const { plan, session, writePause, signal, context } = step;
  // Not awaited: the server executes later commands of this connection after it.
  const paused = writePause.pause(session, context.ttlMs, signal);
  paused.catch(() => undefined);
  const durable = plan.persistence === 'rdb' ? await save(step, paused) : await flush(step, paused);
  // The lease begins when this returns: restart the server's dead-man's switch with it.
  await writePause.refresh(session, signal);
  return durable;
}

/** The AOF: `appendfsync always` makes the server write and fsync before it answers. */
async function flush(step: Step, paused: Promise<void>): Promise<Durable> {
  const { plan, session, writePause, context, signal } = step;
  for (;;) {
    // The server replies after the fsync, so everything read after the reply is later than the fsync.
    const syncing = plan.serverSyncs
      ? applyChanges(session, plan.changes, SYNC_SETTINGS, signal)
      : null;
    await Promise.all([paused, syncing]);
    // After the reply everything is written: sync the files while the server is being asked.
    const early = syncing && syncAof(step);
    early?.catch(() => undefined);
    // Revert immediately: nothing can be written before the thaw, and a crash leaves less behind.
    const [server] = await Promise.all([
      readEvidence(session, signal),
      syncing && revertChanges(session, plan.changes, SYNC_SETTINGS, signal),
      writePause.pause(session, context.ttlMs, signal),
    ]);
    if (server.info.get('aof_last_write_status') !== 'ok')
      throw failed('write its AOF (aof_last_write_status)');
    const left = pendingWrite(server.info);
    if (left === null) {
      // A file system may hang: writers must not wait for it after the freeze has ended.
      const synced = await unlessAborted(early ?? syncAof(step), signal);
      plan.files?.requireWritten(synced, server);
      return { server, synced };
    }
    context.progress(`waiting until ${left}`);
    await pause(LOOK_EVERY_MS, signal);
  }
}

/** Reads the sizes before it syncs: all bytes counted in them are then on the disk. */
async function syncAof({ plan: { files }, context, before }: Step): Promise<readonly SyncedFile[]> {
  if (!files) return [];
  const found = await files.aof(before);
  const [synced] = await Promise.all([
    files.sync(found, before),
    files.requireOneVolume(found, context.copy),
  ]);
  return synced;
}

/** RDB only: saves the data, which no writer can change any more. */
async function save(step: Step, paused: Promise<void>): Promise<Durable> {
  const { session, writePause, context, signal } = step;
  const begunAt = Date.now();
  await paused;
  const before = await beginSave(step);
  for (;;) {
    const server = await readEvidence(session, signal);
    if (server.info.get('rdb_bgsave_in_progress') !== '1') {
      proveSaved(before, server);
      const synced = await unlessAborted(syncSave(step, server, begunAt), signal);
      return { server, synced };
    }
    context.progress(saveProgress(server.info));
    await writePause.keep(session, signal);
    await pause(LOOK_EVERY_MS, signal);
  }
}

async function syncSave(
  { plan: { files }, context, signal }: Step,
  server: ServerFacts,
  begunAt: number,
): Promise<readonly SyncedFile[]> {
  if (!files) return [];
  const found = await files.rdbOf(server, begunAt);
  await files.requireOneVolume(found, context.copy);
  if (await files.lacksChecksum(found)) {
    await files.contents.begin(found, DIGEST_SAVED_WITHIN_MS, signal);
  }
  return await files.sync(found);
}

async function beginSave({ session, context, writePause, signal }: Step): Promise<ServerFacts> {
  for (;;) {
    const before = await waitForChildren(session, context, signal);
    try {
      await session.call(signal, 'BGSAVE');
      return before;
    } catch (error) {
      // Another child process started first, e.g. for a new replica.
      if (!(error instanceof QuiesceError) || !/in progress|Another child/i.test(error.message))
        throw error;
      await writePause.keep(session, signal);
    }
  }
}

function pendingWrite(info: Info): string | null {
  if (info.get('aof_buffer_length') !== '0') return 'the AOF buffer is written';
  if (info.get('aof_pending_bio_fsync') !== '0') return 'the fsync of the AOF has ended';
  if (info.get('aof_rewrite_in_progress') === '1') return 'a rewrite of the AOF has ended';
  return null;
}

function saveProgress(info: Info): string {
  const [done, total] = [
    numberOf(info, 'current_save_keys_processed'),
    numberOf(info, 'current_save_keys_total'),
  ];
  return done === null || total === null || total === 0
    ? 'saving'
    : `saving: ${done} of ${total} keys`;
}

function proveSaved(before: ServerFacts, after: ServerFacts): void {
  const { info } = after;
  if (after.runId !== before.runId) throw failed('go on: it was restarted while it saved');
  if (info.get('rdb_last_bgsave_status') !== 'ok') throw failed('save (rdb_last_bgsave_status)');
  const counter = info.has('rdb_saves') ? 'rdb_saves' : 'total_forks';
  const advanced = (numberOf(info, counter) ?? 0) > (numberOf(before.info, counter) ?? 0);
  const savedAt = (facts: ServerFacts): number => numberOf(facts.info, 'rdb_last_save_time') ?? 0;
  if (!advanced || savedAt(after) < savedAt(before))
    throw failed(`save: ${counter} did not advance`);
  if (info.get('rdb_changes_since_last_save') !== '0') {
    throw failed(
      'keep its data unchanged: data changed during the save, although writers are paused',
    );
  }
}

function failed(what: string): QuiesceError {
  return new QuiesceError('ENGINE_FAILED', `The server could not ${what}.`, {
    hint: "Check the server's log for a full disk or too little memory for a fork. After a failed save the server may refuse writes (stop-writes-on-bgsave-error) until BGSAVE succeeds.",
  });
}
