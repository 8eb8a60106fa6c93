import { QuiesceError } from '../../errors.ts';
import { unlessAborted } from '../../unless-aborted.ts';
import type { CopyMethod, FreezeContext, Hold } from '../engine.ts';
import {
  findLocked,
  type PrimaryPoint,
  readPrimaryPoint,
  waitForMajority,
  waitForPoint,
} from './catch-up.ts';
import { countDocuments, listDatabases } from './documents.ts';
import { type DataFolder, findDataFolder, requireBackupFile, requireOnePlace } from './files.ts';
import { type HoldFacts, journalOf, lockHold } from './hold.ts';
import { awaitJournaled, isJournaled } from './journaled.ts';
import { readLock, releaseSurely, requireUnlocked, takeLock } from './lock.ts';
import { type Majority, readSet, requireMajority, type SetView } from './members.ts';
import { formatOpTime, type OpTime } from './optime.ts';
import { readHello, readServer, type ServerFacts } from './server.ts';
import type { Session } from './session.ts';
import type { MongoSettings } from './settings.ts';

/** The lock makes copies good; that of several volumes was not measured. */
export const SUPPORTED_COPIES: readonly CopyMethod[] = ['snapshot', 'files'];

export interface Known {
  readonly session: Session;
  /** What the server calls the session's connections by, and no others. */
  readonly client: string;
  readonly settings: MongoSettings;
  readonly dataDir: string | undefined;
  readonly context: FreezeContext;
}

/** Everything that is known before the lock. */
export interface Prepared extends Known {
  readonly server: ServerFacts;
  readonly folder: DataFolder | undefined;
  readonly databases: readonly string[];
  /** `undefined` for a server without a set. */
  readonly point: PrimaryPoint | undefined;
}

/**
 * Refuses what the lock could not promise, and waits until a secondary has what the primary had when
 * the freeze was asked for. Blocks nobody.
 */
export async function prepareFreeze(known: Known, signal: AbortSignal): Promise<Prepared> {
  const { session, settings, dataDir, context } = known;
  if (!SUPPORTED_COPIES.includes(context.copy)) {
    throw new QuiesceError(
      'COPY_UNSUPPORTED',
      `A MongoDB freeze promises nothing for QUIESCE_COPY=${context.copy}: only for ${SUPPORTED_COPIES.join(' and ')}.`,
    );
  }
  const server = await readServer(session, signal);
  requireRole(server);
  requireDisk(server);
  await requireUnlocked(session, signal);
  const folder =
    dataDir === undefined ? undefined : await locate(session, dataDir, context.copy, signal);
  const databases = await listDatabases(session, signal);
  if (server.setName === undefined)
    return { ...known, server, folder, databases, point: undefined };
  const view = await readSet(session, signal);
  requireMajority(view, (await findLocked(settings, view, signal)).locked);
  const point = await catchUp(known, server, view, signal);
  return { ...known, server, folder, databases, point };
}

async function catchUp(
  { session, settings, context }: Known,
  server: ServerFacts,
  view: SetView,
  signal: AbortSignal,
): Promise<PrimaryPoint | undefined> {
  if (server.role === 'primary') return undefined;
  const { delaySeconds = 0 } = view.members.find((one) => one.self) ?? {};
  if (delaySeconds > 0) {
    throw new QuiesceError(
      'ENGINE_BEHIND',
      `This secondary is delayed by ${delaySeconds} s on purpose, so a copy of it lacks what was acknowledged since.`,
      { hint: 'Freeze a member that is not delayed.' },
    );
  }
  const point = await readPrimaryPoint(session, settings, server, signal);
  await waitForPoint(session, point, context, signal);
  return point;
}

function requireRole({ role, setName }: ServerFacts): void {
  if (role === 'standalone' || role === 'primary' || role === 'secondary') return;
  const what = {
    router: 'a mongos, which holds no data: run a sidecar beside each shard’s members instead',
    arbiter: 'an arbiter, which holds no data',
    other: `a member of ${setName ?? 'a set'} that is neither primary nor secondary now`,
  }[role];
  throw new QuiesceError('ENGINE_ROLE', `This server is ${what}.`);
}

function requireDisk({ storageEngine, persistent }: ServerFacts): void {
  if (persistent && storageEngine === 'wiredTiger') return;
  throw new QuiesceError(
    'COPY_UNSUPPORTED',
    `The storage engine is ${storageEngine}${persistent ? ', which was not measured' : ', which keeps nothing on disk'}: no copy of its files is worth anything.`,
  );
}

async function locate(
  session: Session,
  dataDir: string,
  copy: CopyMethod,
  signal: AbortSignal,
): Promise<DataFolder> {
  const answer = await session.admin({ getCmdLineOpts: 1 }, 'ask where the data lies', signal);
  const parsed = answer['parsed'] as { storage?: { dbPath?: string } };
  const dbPath = parsed.storage?.dbPath ?? '/data/db';
  const folder = await unlessAborted(findDataFolder(dataDir, dbPath), signal);
  await unlessAborted(requireOnePlace(folder, copy), signal);
  return folder;
}

/**
 * Takes the lock and proves what it holds; on any failure nothing stays locked. A primary is locked
 * again until the lock has caught it with everything journaled: see `isJournaled`.
 */
export async function holdServer(
  prepared: Prepared,
  signal: AbortSignal,
  onReleased: () => void,
): Promise<Hold> {
  try {
    for (;;) {
      await requireUnlocked(prepared.session, signal);
      const hold = await tryHold(prepared, signal, onReleased);
      if (hold) return hold;
      prepared.context.progress(
        'writes that nobody waits to see journaled (w: 1 without j) come without a pause, and the lock of a primary must not fall among them',
      );
    }
  } catch (error) {
    onReleased();
    throw error;
  }
}

/** @returns `undefined`: something was not journaled yet, and the lock was given back. */
async function tryHold(
  prepared: Prepared,
  signal: AbortSignal,
  onReleased: () => void,
): Promise<Hold | undefined> {
  const { session, client, context, server } = prepared;
  const { runId } = server;
  // Nothing of ours is left: a lock that is seen from then on is somebody else's.
  const forget = (): Promise<void> =>
    context.remember({ step: 'released', runId }).catch(() => undefined);
  await context.remember({ step: 'asking', runId, client });
  let lockCount: number;
  try {
    if ((await readHello(session, signal)).runId !== runId) throw changed(session);
    if (server.role === 'primary') await awaitJournaled(session, signal);
    lockCount = await takeLock(session, runId, signal);
  } catch (error) {
    await forget();
    throw error;
  }
  let opId: number | undefined;
  const undo = async (): Promise<void> => {
    // With others' locks beside ours the thread is theirs as well: the count alone is taken back.
    await releaseSurely(session, { runId, opId: lockCount === 1 ? opId : undefined });
    await forget();
  };
  try {
    opId = (await readLock(session, signal)).opId;
    if (lockCount !== 1) {
      throw new QuiesceError(
        'ENGINE_LOCKED',
        `${session.target} was locked by somebody else in the same moment; our lock was taken back.`,
      );
    }
    if (server.role === 'primary' && !(await isJournaled(session, signal))) {
      await undo();
      return undefined;
    }
    const facts = await establish(prepared, opId, signal);
    await context.remember(journalOf(facts.position));
    return lockHold(session, facts, onReleased);
  } catch (error) {
    await undo();
    throw error;
  }
}

function changed({ target }: Session): QuiesceError {
  return new QuiesceError('ENGINE_FAILED', `${target} changed while the freeze was made.`);
}

/** What is true under the lock. */
async function establish(
  prepared: Prepared,
  opId: number | undefined,
  signal: AbortSignal,
): Promise<HoldFacts> {
  const { session, folder, databases, point, server } = prepared;
  // The volume may hang: the lock must not wait for it beyond the end of the freeze.
  if (folder) await unlessAborted(requireBackupFile(folder, session.target), signal);
  const hello = await readHello(session, signal);
  if (hello.role !== server.role || hello.runId !== server.runId) {
    throw changed(session);
  }
  const now: ServerFacts = { ...server, ...hello };
  const set =
    server.setName === undefined ? undefined : await underMajority(prepared, hello.opTime, signal);
  const documents = await countDocuments(session, databases, signal);
  const { reasons, notes } = qualify(prepared, set, documents === null);
  const view = set?.view;
  return {
    server: now,
    view,
    writesBlocked: set === undefined || !set.majority.writesGoOn,
    position: {
      opTime: hello.opTime === undefined ? null : formatOpTime(hello.opTime),
      majorityOpTime: set === undefined ? null : formatOpTime(set.committed),
      primaryOpTime: point === undefined ? null : formatOpTime(point.opTime),
      primary: hello.primary ?? null,
      term: view?.term ?? null,
      runId: server.runId,
      pid: server.pid,
      startedAt: server.startedAt,
      lockCount: 1,
      lockOpId: opId ?? null,
    },
    restore: {
      dataDirectory: folder?.relative ?? null,
      storageEngine: server.storageEngine,
      set: view === undefined ? null : setOf(view),
      shard: server.isShard,
      documents,
      databases: [...databases],
    },
    reasons,
    notes,
  };
}

interface UnderMajority {
  readonly view: SetView;
  readonly majority: Majority;
  readonly committed: OpTime;
  readonly unknown: readonly string[];
}

/** Looks at the others once more: two sidecars may have locked two members in the same moment. */
async function underMajority(
  { session, settings }: Prepared,
  opTime: OpTime | undefined,
  signal: AbortSignal,
): Promise<UnderMajority> {
  if (opTime === undefined) {
    throw new QuiesceError(
      'ENGINE_FAILED',
      `${session.target} names no position of its last write.`,
    );
  }
  const view = await readSet(session, signal);
  const { locked, unknown } = await findLocked(settings, view, signal);
  const majority = requireMajority(view, locked);
  const committed = await waitForMajority(session, opTime, view, signal);
  return { view, majority, committed, unknown };
}

function setOf(view: SetView) {
  const members = view.members.map(({ host, state, votes, hidden }) => ({
    host,
    state,
    votes,
    hidden,
  }));
  return { name: view.name, replicaSetId: view.replicaSetId, members };
}

/** What a reader of the receipt must know beside the promise itself. */
function qualify(
  { server, folder, point }: Prepared,
  set: UnderMajority | undefined,
  uncounted: boolean,
): { reasons: string[]; notes: string[] } {
  const found: [code: string, note: string][] = [];
  if (server.role === 'primary' && set && set.view.members.length > 1) {
    const others = set.view.members.filter(({ state }) => state === 'SECONDARY');
    const better = (others.find(({ hidden }) => hidden) ?? others[0])?.host;
    found.push([
      'primary-locked',
      `The primary was locked, so every writer of the set waited; its lease is short. A freeze of ${better ?? 'a secondary'} would let them go on.`,
    ]);
  }
  if (point) {
    found.push([
      'secondary',
      `A copy holds every write up to ${formatOpTime(point.opTime)}, where the primary ${point.primary} stood when the freeze was asked for; writes acknowledged later may not be in it.`,
    ]);
  }
  if (set && server.role === 'secondary' && !set.majority.writesGoOn) {
    found.push([
      'majority-writes-wait',
      'With this member locked, writes with w: majority wait until the thaw.',
    ]);
  }
  if (set && set.unknown.length > 0) {
    found.push([
      'others-not-asked',
      `Whether these members are locked by somebody else is not known: ${set.unknown.join(', ')}.`,
    ]);
  }
  if (server.isShard) {
    found.push([
      'shard-alone',
      'This server belongs to a sharded cluster: the freeze speaks of it alone. Copies of several shards are not of one point in time, and chunks that move between them may be lost or doubled.',
    ]);
  }
  if (!folder) {
    found.push([
      'layout-not-checked',
      'The data is not mounted here (QUIESCE_DATA_DIR), so whether one volume holds all of it was not checked.',
    ]);
  }
  if (uncounted)
    found.push([
      'documents-not-counted',
      'Counting the documents would have held writers for too long.',
    ]);
  return { reasons: found.map(([code]) => code), notes: found.map(([, note]) => note) };
}
