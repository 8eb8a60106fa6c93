import { QuiesceError } from '../../../errors.ts';
import { unlessAborted } from '../../../lib/deadline.ts';
import { findLocked, waitForMajority } from './catch-up.ts';
import { countDocuments } from './document-counts.ts';
import { type KeptDigests, keepDigests } from './keep-digests.ts';
import { requireBackupFile } from '../data-dir/data-dir.ts';
import { type Majority, readSet, requireMajority, type SetView } from './replica-set.ts';
import { formatOpTime, type OpTime } from '../optime.ts';
import type { PreparedFreeze } from './prepare.ts';
import type { MongoPosition, MongoRestore } from '../receipt.ts';
import { readHello, type ServerFacts } from '../server.ts';
import type { Session } from '../connection/session.ts';

/** The facts about a locked server from which the hold is made. */
export interface HoldFacts {
  readonly server: ServerFacts;
  readonly view: SetView | undefined;
  readonly position: MongoPosition;
  readonly restore: MongoRestore;
  readonly writesBlocked: boolean;
  readonly reasons: readonly string[];
  readonly notes: readonly string[];
}

/**
 * Reads the facts about the server under the lock. Waits until a majority has the position.
 *
 * @throws QuiesceError where the server changed since the freeze was prepared, or the set would lose its
 * majority: the lock promises nothing then.
 */
export async function readFactsUnderLock(
  prepared: PreparedFreeze,
  opId: number | undefined,
  signal: AbortSignal,
): Promise<HoldFacts> {
  const { session, folder, databases, point, server } = prepared;
  // The volume may hang: the lock must not wait for it after the freeze has ended.
  if (folder) await unlessAborted(requireBackupFile(folder, session.target), signal);
  const hello = await readHello(session, signal);
  if (hello.role !== server.role || hello.runId !== server.runId) {
    throw serverChanged(session);
  }
  const now: ServerFacts = { ...server, ...hello };
  const set =
    server.setName === undefined ? undefined : await underMajority(prepared, hello.opTime, signal);
  const [documents, digests] = await Promise.all([
    countDocuments(session, databases, signal),
    keepDigests(prepared, signal),
  ]);
  const { reasons, notes } = qualify(prepared, set, { uncounted: documents === null, digests });
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
      digests: digests && { file: digests.file, sha256: digests.sha256 },
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

/** Checks the others again: two sidecars may have locked two members at the same moment. */
async function underMajority(
  { session, settings }: PreparedFreeze,
  opTime: OpTime | undefined,
  signal: AbortSignal,
): Promise<UnderMajority> {
  if (opTime === undefined) {
    throw new QuiesceError(
      'ENGINE_FAILED',
      `${session.target} does not report the position of its last write.`,
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

/** Limits of the promise that a reader of the receipt must know. */
function qualify(
  { server, folder, point }: PreparedFreeze,
  set: UnderMajority | undefined,
  { uncounted, digests }: { uncounted: boolean; digests: KeptDigests | null },
): { reasons: string[]; notes: string[] } {
  const found: [code: string, note: string][] = [];
  if (server.role === 'primary' && set && set.view.members.length > 1) {
    const others = set.view.members.filter(({ state }) => state === 'SECONDARY');
    const better = (others.find(({ hidden }) => hidden) ?? others[0])?.host;
    found.push([
      'primary-locked',
      `The primary was locked, so all writers of the set waited, and its lease is short. Freeze ${better ?? 'a secondary'} instead to let them go on.`,
    ]);
  }
  if (point) {
    found.push([
      'secondary',
      `A copy holds every write up to ${formatOpTime(point.opTime)}, the position of the primary ${point.primary} when the freeze was requested; it may lack writes acknowledged later.`,
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
      `These members could not be asked whether another client has locked them: ${set.unknown.join(', ')}.`,
    ]);
  }
  if (server.isShard) {
    found.push([
      'shard-alone',
      'This server belongs to a sharded cluster, and the freeze covers only this server. Copies of several shards are not of one point in time, and chunks that move between shards may be lost or duplicated.',
    ]);
  }
  if (!folder) {
    found.push([
      'layout-not-checked',
      'The data is not mounted here (QUIESCE_DATA_DIR), so it was not checked that one volume holds all of it.',
    ]);
  }
  if (uncounted)
    found.push([
      'documents-not-counted',
      'Counting the documents would have delayed writers for too long.',
    ]);
  if (digests && digests.left > 0) {
    found.push([
      'not-digested',
      `${digests.left} files could not be digested within the second that writers may wait for it, or this user may not read them: prepare-restore compares the others.`,
    ]);
  }
  return { reasons: found.map(([code]) => code), notes: found.map(([, note]) => note) };
}

export function serverChanged({ target }: Session): QuiesceError {
  return new QuiesceError(
    'ENGINE_FAILED',
    `${target} restarted or changed its role during the freeze.`,
  );
}
