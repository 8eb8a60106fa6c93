import { QuiesceError } from '../../../errors.ts';
import { unlessAborted } from '../../../lib/deadline.ts';
import type { FreezeContext } from '../../engine.ts';
import { capabilitiesOf } from '../../names.ts';
import { findLocked, type PrimaryPoint, readPrimaryPoint, waitForPoint } from './catch-up.ts';
import { listDatabases } from './document-counts.ts';
import { type DataFolder, findDataFolder, requireOneVolume } from '../data-dir/data-dir.ts';
import { requireUnlocked } from './fsync-lock.ts';
import { readSet, requireMajority, type SetView } from './replica-set.ts';
import { readServer, type ServerFacts } from '../server.ts';
import type { Session } from '../connection/session.ts';
import type { MongoSettings } from '../connection/settings.ts';

export interface PrepareInput {
  readonly session: Session;
  /** What the server calls the session's connections by, and no others. */
  readonly client: string;
  readonly settings: MongoSettings;
  readonly dataDir: string | undefined;
  readonly context: FreezeContext;
}

/** Everything that is known before the lock. */
export interface PreparedFreeze extends PrepareInput {
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
export async function prepareFreeze(
  input: PrepareInput,
  signal: AbortSignal,
): Promise<PreparedFreeze> {
  const { session, settings, dataDir, context } = input;
  const { copies } = capabilitiesOf('mongodb');
  if (!copies.includes(context.copy)) {
    throw new QuiesceError(
      'COPY_UNSUPPORTED',
      `A MongoDB freeze promises nothing for QUIESCE_COPY=${context.copy}: only for ${copies.join(' and ')}.`,
    );
  }
  const server = await readServer(session, signal);
  requireRole(server);
  requireDisk(server);
  await requireUnlocked(session, signal);
  const databases = await listDatabases(session, signal);
  const folder =
    dataDir === undefined ? undefined : await findData(input, dataDir, databases, signal);
  if (server.setName === undefined)
    return { ...input, server, folder, databases, point: undefined };
  const view = await readSet(session, signal);
  requireMajority(view, (await findLocked(settings, view, signal)).locked);
  const point = await catchUp(input, server, view, signal);
  return { ...input, server, folder, databases, point };
}

async function catchUp(
  { session, settings, context }: PrepareInput,
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

async function findData(
  { session, context }: PrepareInput,
  dataDir: string,
  databases: readonly string[],
  signal: AbortSignal,
): Promise<DataFolder> {
  const answer = await session.admin({ getCmdLineOpts: 1 }, 'ask where the data lies', signal);
  const { storage = {} } = answer['parsed'] as {
    storage?: { dbPath?: string; directoryPerDB?: boolean };
  };
  const folder = await unlessAborted(findDataFolder(dataDir, storage.dbPath ?? '/data/db'), signal);
  const names = {
    perDatabase: storage.directoryPerDB === true,
    databases: [...databases, 'local'],
  };
  await unlessAborted(requireOneVolume(folder, names, context.copy), signal);
  return folder;
}
