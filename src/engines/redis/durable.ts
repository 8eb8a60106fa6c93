import { QuiesceError } from '../../errors.ts';
import type { FreezeContext } from '../engine.ts';
import { compare } from './evidence.ts';
import type { FilePrint } from './files.ts';
import type { DataFile } from './layout.ts';
import type { Pauser } from './pauser.ts';
import { type Plan, quiet, SYNC_SETTINGS } from './plan.ts';
import { type Info, numberOf } from './replies.ts';
import { readServer, type ServerFacts } from './server.ts';
import type { Session } from './session.ts';
import { change, putBack } from './settings-guard.ts';
import { pause } from './wait.ts';

const LOOK_EVERY_MS = 5;

/** A server whose acknowledged writes are on the disk, and the files that hold them. */
export interface Durable {
  /** Read after all was synced: what the hold is compared with at its end. */
  readonly server: ServerFacts;
  readonly prints: readonly FilePrint[];
}

interface Step {
  readonly plan: Plan;
  readonly session: Session;
  readonly pauser: Pauser;
  readonly context: FreezeContext;
  readonly signal: AbortSignal;
}

/**
 * Pauses writers, brings everything the server has acknowledged to the disk, and proves it: by
 * the server's own fsync where its answer means something, and by our own where the files are mounted.
 *
 * @throws QuiesceError ENGINE_FAILED, ENGINE_DATA_MISMATCH, COPY_UNSUPPORTED
 */
export async function makeDurable(step: Step): Promise<Durable> {
  const { plan, session, pauser, signal, context } = step;
  const begunAt = Date.now();
  // Not waited for: what follows it on the one connection is carried out after it.
  const paused = pauser.pause(session, context.ttlMs, signal);
  paused.catch(() => undefined);
  const settled = plan.persistence === 'rdb' ? await save(step, paused) : await flush(step, paused);
  const { files } = plan;
  let found: readonly DataFile[] = [];
  if (files) {
    found =
      plan.persistence === 'rdb' ? await files.rdbOf(settled, begunAt) : await files.aofOf(settled);
    await files.requireOneVolume(found, context.copy);
  }
  const [prints] = await Promise.all([files?.prints(found) ?? [], files?.sync(found)]);
  // The lease begins with the answer, and the server's own switch with it; asked in this order, in
  // one round trip.
  const [server] = await Promise.all([
    readServer(session, signal),
    pauser.pause(session, context.ttlMs, signal),
  ]);
  const moved = compare(settled, server);
  if (moved.length > 0) {
    throw new QuiesceError(
      'ENGINE_FAILED',
      `The server did not stand still while it was being frozen: ${moved.map(([, note]) => note).join(' ')}`,
    );
  }
  return { server, prints };
}

/** The AOF: `appendfsync always` makes the server write and fsync before it answers. */
async function flush(
  { plan, session, pauser, context, signal }: Step,
  paused: Promise<void>,
): Promise<ServerFacts> {
  for (;;) {
    // Answered after the fsync, so what is read after the answer is of after it, too.
    const syncing = plan.serverSyncs ? change(session, plan.claim, SYNC_SETTINGS, signal) : null;
    await Promise.all([paused, syncing]);
    // Back at once: nothing can be written before the thaw, and less is left behind by a crash.
    const [server] = await Promise.all([
      readServer(session, signal),
      syncing && putBack(session, plan.claim, SYNC_SETTINGS, signal),
    ]);
    if (server.info.get('aof_last_write_status') !== 'ok')
      throw failed('write its AOF (aof_last_write_status)');
    const left = unwritten(server.info);
    if (left === null) return server;
    context.progress(`waiting until ${left}`);
    await pauser.keep(session, signal);
    await pause(LOOK_EVERY_MS, signal);
  }
}

function unwritten(info: Info): string | null {
  if (info.get('aof_buffer_length') !== '0') return 'the AOF buffer is written';
  if (info.get('aof_pending_bio_fsync') !== '0') return 'the fsync of the AOF has ended';
  if (info.get('aof_rewrite_in_progress') === '1') return 'a rewrite of the AOF has ended';
  return null;
}

/** RDB only: a save of the data that no writer can change any more. */
async function save(step: Step, paused: Promise<void>): Promise<ServerFacts> {
  const { session, pauser, context, signal } = step;
  await paused;
  const before = await begin(step);
  for (;;) {
    const server = await readServer(session, signal);
    if (server.info.get('rdb_bgsave_in_progress') !== '1') return proveSaved(before, server);
    context.progress(saveProgress(server.info));
    await pauser.keep(session, signal);
    await pause(LOOK_EVERY_MS, signal);
  }
}

async function begin({ session, context, pauser, signal }: Step): Promise<ServerFacts> {
  for (;;) {
    const before = await quiet(session, context, signal);
    try {
      await session.call(signal, 'BGSAVE');
      return before;
    } catch (error) {
      // A child of somebody else came first, e.g. for a new replica.
      if (!(error instanceof QuiesceError) || !/in progress|Another child/i.test(error.message))
        throw error;
      await pauser.keep(session, signal);
    }
  }
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

function proveSaved(before: ServerFacts, after: ServerFacts): ServerFacts {
  const { info } = after;
  if (after.runId !== before.runId) throw failed('go on: it was restarted while it saved');
  if (info.get('rdb_last_bgsave_status') !== 'ok') throw failed('save (rdb_last_bgsave_status)');
  const counter = info.has('rdb_saves') ? 'rdb_saves' : 'total_forks';
  const advanced = (numberOf(info, counter) ?? 0) > (numberOf(before.info, counter) ?? 0);
  const savedAt = (facts: ServerFacts): number => numberOf(facts.info, 'rdb_last_save_time') ?? 0;
  if (!advanced || savedAt(after) < savedAt(before))
    throw failed(`save: ${counter} did not advance`);
  if (info.get('rdb_changes_since_last_save') !== '0') {
    throw failed('keep still: data was changed while it saved, although writers are paused');
  }
  return after;
}

function failed(what: string): QuiesceError {
  return new QuiesceError('ENGINE_FAILED', `The server could not ${what}.`, {
    hint: "Look into the server's log: a full disk, or no memory for a fork. After a save that failed the server may refuse writes (stop-writes-on-bgsave-error) until BGSAVE succeeds.",
  });
}
