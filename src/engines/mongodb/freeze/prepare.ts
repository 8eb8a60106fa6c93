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
  /** The name under which the server lists this session's connections and no others. */
  readonly client: string;
  readonly settings: MongoSettings;
  readonly dataDir: string | undefined;
  readonly context: FreezeContext;
}

/** Everything that `hold` needs to know before it takes the lock. */
export interface PreparedFreeze extends PrepareInput {
  readonly server: ServerFacts;
  readonly folder: DataFolder | undefined;
  readonly databases: readonly string[];
  /** `undefined` for a primary and for a server outside a set. */
  readonly point: PrimaryPoint | undefined;
}

/**
 * Refuses a freeze whose promise the lock could not keep. On a secondary, waits until it has every write
 * that the primary had when the freeze was requested. Blocks no client.
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
      `A freeze of MongoDB does not support QUIESCE_COPY=${context.copy}, only ${copies.join(' and ')}.`,
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
      `This secondary is configured with a delay of ${delaySeconds} s, so a copy of it lacks the newest acknowledged writes.`,
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
    router: 'a mongos, which holds no data: add a sidecar to the members of each shard instead',
    arbiter: 'an arbiter, which holds no data',
    other: `a member of ${setName ?? 'a set'} that is currently neither primary nor secondary`,
  }[role];
  throw new QuiesceError('ENGINE_ROLE', `This server is ${what}.`);
}

function requireDisk({ storageEngine, persistent }: ServerFacts): void {
  if (persistent && storageEngine === 'wiredTiger') return;
  throw new QuiesceError(
    'COPY_UNSUPPORTED',
    `The storage engine is ${storageEngine}, ${persistent ? 'which was not tested, so a copy of its files may not be restorable' : 'which keeps nothing on disk, so there is nothing to copy'}.`,
  );
}

async function findData(
  { session, context }: PrepareInput,
  dataDir: string,
  databases: readonly string[],
  signal: AbortSignal,
): Promise<DataFolder> {
  const answer = await session.admin({ getCmdLineOpts: 1 }, 'ask for the data directory', signal);
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
