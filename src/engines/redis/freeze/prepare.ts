import { QuiesceError } from '../../../errors.ts';
import type { FreezeContext } from '../../engine.ts';
import { unlessAborted } from '../../../lib/deadline.ts';
import { ServerFiles } from '../data-dir/synced-files.ts';
import { DEFAULT_NAMES, type FileNames } from '../data-dir/data-files.ts';
import { numberOf, RefusedError } from '../connection/replies.ts';
import type { Persistence } from '../receipt.ts';
import { checkDisk, checkMemory } from '../data-dir/headroom.ts';
import { atLeast, runningChild, readServer, type ServerFacts } from '../server.ts';
import type { Session } from '../connection/session.ts';
import {
  type SettingChanges,
  planChanges,
  readSettings,
  type ServerSettings,
} from './config-changes.ts';
import { pause } from '../../../lib/deadline.ts';

/** How to freeze this server, decided before anything is held. */
export interface FreezePlan {
  readonly server: ServerFacts;
  readonly persistence: Persistence;
  readonly names: FileNames;
  /** `null`: the volume is not mounted here, so only the server itself can fsync. */
  readonly files: ServerFiles | null;
  /** The server can be made to fsync, and its reply proves that it did. */
  readonly serverSyncs: boolean;
  readonly changes: SettingChanges;
  /** The setting `save`; `null` where the server does not report it. */
  readonly save: string | null;
  readonly reasons: readonly string[];
  readonly notes: readonly string[];
}

const LOOK_EVERY_MS = 50;

/**
 * Checks everything that a freeze needs, and waits until no child process of the server writes files.
 * Changes nothing.
 *
 * @throws QuiesceError ENGINE_NO_PERSISTENCE, ENGINE_VERSION, ENGINE_PRIVILEGE, ENGINE_RESOURCES,
 * ENGINE_DATA_MISMATCH, COPY_UNSUPPORTED, ENGINE_FAILED
 */
export async function planFreeze(
  session: Session,
  dataDir: string | undefined,
  context: FreezeContext,
  signal: AbortSignal,
): Promise<FreezePlan> {
  const found = await readSettings(session, signal);
  const refused = found instanceof RefusedError ? found : null;
  const settings = found instanceof RefusedError ? null : found;
  const server = await waitForChildren(session, context, signal);
  const persistence = findPersistence(server, settings);
  requireHealth(server, persistence);
  const names = namesFrom(server, settings);
  const files = await unlessAborted(findFiles(dataDir, settings, names, persistence), signal);
  const serverSyncs =
    (persistence === 'rdb' || settings !== null) && fsyncsItself(server, persistence);
  if (!serverSyncs && !files) throw cannotProve(server, refused);
  const changes = planChanges(server.runId, settings, wantedFor(persistence, context, serverSyncs));
  const memory = persistence === 'rdb' ? await checkMemory(server) : [];
  if (files) {
    const checking = checkDisk(server, persistence, files.dir, names.dbfilename);
    await unlessAborted(checking, signal);
  }
  requireTime(server, persistence, context);
  const { reasons, notes } = await qualify(session, server, refused, signal);
  return {
    server,
    persistence,
    names,
    files,
    serverSyncs,
    changes,
    save: settings?.get('save') ?? null,
    reasons,
    notes: [...notes, ...memory],
  };
}

/** Waits until the server has no child process: one would write files during the copy. */
export async function waitForChildren(
  session: Session,
  context: FreezeContext,
  signal: AbortSignal,
): Promise<ServerFacts> {
  for (;;) {
    const server = await readServer(session, signal);
    const child = runningChild(server.info);
    if (child === null) return server;
    context.progress(`waiting for ${child} to end`);
    await pause(LOOK_EVERY_MS, signal);
  }
}

function findPersistence(server: ServerFacts, settings: ServerSettings | null): Persistence {
  const points = settings?.get('save') ?? null;
  if (server.info.get('aof_enabled') === '1') return points === '' ? 'aof' : 'aof+rdb';
  if (points !== '') return 'rdb';
  throw new QuiesceError(
    'ENGINE_NO_PERSISTENCE',
    'This server keeps neither an AOF (appendonly no) nor RDB files (save ""), so a copy could not be restored.',
  );
}

function requireHealth({ info }: ServerFacts, persistence: Persistence): void {
  const wrong = (what: string, hint: string): QuiesceError =>
    new QuiesceError('ENGINE_FAILED', `${what}, so its files on the disk may be incomplete.`, {
      hint,
    });
  if (persistence === 'rdb') return;
  if (info.get('aof_last_write_status') !== 'ok') {
    throw wrong(
      'The last write to the AOF failed (aof_last_write_status)',
      'Free disk space for the server and check its log.',
    );
  }
  if (info.get('aof_last_bgrewrite_status') !== 'ok') {
    throw wrong(
      'The last rewrite of the AOF failed (aof_last_bgrewrite_status)',
      "Check the server's log; BGREWRITEAOF tries again.",
    );
  }
}

function namesFrom(server: ServerFacts, settings: ServerSettings | null): FileNames {
  const multiPart = server.flavor === 'valkey' || atLeast(server, 7, 0, 0);
  const folder = settings?.get('appenddirname') ?? DEFAULT_NAMES.appenddirname;
  return {
    dbfilename: settings?.get('dbfilename') ?? DEFAULT_NAMES.dbfilename,
    appendfilename: settings?.get('appendfilename') ?? DEFAULT_NAMES.appendfilename,
    appenddirname: multiPart ? folder : null,
  };
}

async function findFiles(
  dataDir: string | undefined,
  settings: ServerSettings | null,
  names: FileNames,
  persistence: Persistence,
): Promise<ServerFiles | null> {
  if (dataDir === undefined) return null;
  const reported = settings?.get('dir') ?? null;
  return await ServerFiles.find(dataDir, reported, names, persistence === 'rdb');
}

/**
 * Whether the server has synced its files when it replies. AOF: CONFIG SET appendfsync always does so
 * from 7.0.11 on (measured). RDB: 7.0.1 and newer also sync the folder after the rename (release notes).
 */
function fsyncsItself(server: ServerFacts, persistence: Persistence): boolean {
  if (server.flavor === 'valkey') return true;
  return persistence === 'rdb' ? atLeast(server, 7, 0, 1) : atLeast(server, 7, 0, 11);
}

function cannotProve(server: ServerFacts, refused: RefusedError | null): QuiesceError {
  const hint =
    'Mount the data volume into the sidecar and set QUIESCE_DATA_DIR: the sidecar then syncs the files itself.';
  if (refused) {
    return new QuiesceError(
      'ENGINE_PRIVILEGE',
      `${refused.message} Without this right the sidecar cannot make the server write its AOF to the disk.`,
      {
        hint: `${refused.hint} Or: ${hint}`,
        cause: refused,
      },
    );
  }
  return new QuiesceError(
    'ENGINE_VERSION',
    `Redis ${server.version} does not prove that acknowledged writes are on the disk (7.0.11 and newer do), and its files are not mounted here.`,
    { hint },
  );
}

function wantedFor(
  persistence: Persistence,
  { copy }: FreezeContext,
  serverSyncs: boolean,
): Readonly<Record<string, string>> {
  if (persistence === 'rdb') return {};
  return {
    'auto-aof-rewrite-percentage': '0',
    // A save during the hold would replace dump.rdb in the middle of a file-by-file copy.
    ...(persistence === 'aof+rdb' && copy === 'files' ? { save: '' } : {}),
    ...(serverSyncs ? { 'no-appendfsync-on-rewrite': 'no', appendfsync: 'always' } : {}),
  };
}

/** The settings that stay changed during the hold. The others are restored before it begins. */
export const HELD_SETTINGS = ['auto-aof-rewrite-percentage', 'save'] as const;
export const SYNC_SETTINGS = ['no-appendfsync-on-rewrite', 'appendfsync'] as const;

/** Refuses a lease shorter than the last save: the next one will not be faster while writers wait. */
function requireTime(
  { info }: ServerFacts,
  persistence: Persistence,
  context: FreezeContext,
): void {
  const seconds = numberOf(info, 'rdb_last_bgsave_time_sec') ?? -1;
  if (persistence !== 'rdb' || seconds * 1_000 < context.ttlMs) return;
  throw new QuiesceError(
    'ENGINE_RESOURCES',
    `The last save took ${seconds} s, which is longer than the lease of ${context.ttlMs / 1_000} s, the time that writers may wait.`,
    {
      hint: 'Turn on the AOF (appendonly yes), freeze a replica, or ask for a longer lease (--ttl).',
    },
  );
}

async function qualify(
  session: Session,
  server: ServerFacts,
  refused: RefusedError | null,
  signal: AbortSignal,
): Promise<{ reasons: string[]; notes: string[] }> {
  const reasons: string[] = [];
  const notes: string[] = [];
  const add = (code: string, note: string): void => {
    reasons.push(code);
    notes.push(note);
  };
  const paused = server.info.get('paused_actions');
  if (paused !== undefined && paused !== 'none') {
    throw new QuiesceError(
      'ENGINE_FAILED',
      `Another client has already paused this server (paused_actions: ${paused}), and a thaw would end that pause too.`,
      {
        hint: 'Wait until that pause ends, or end it with CLIENT UNPAUSE.',
      },
    );
  }
  if (server.mode === 'cluster') {
    add(
      'no-cross-shard-point',
      'This is one node of a cluster: even with overlapping freezes, the shards share no consistent point in time.',
    );
  }
  if (refused) {
    add(
      'rewrites-not-guarded',
      `The server does not let the sidecar turn off rewrites of the AOF: ${refused.message} A rewrite during the hold makes the verdict inconsistent.`,
    );
  }
  if (server.role === 'primary' && (await sentinelsWatch(session, signal))) {
    add(
      'sentinel-watches',
      'A Sentinel watches this primary and considers it down when writers are paused for longer than down-after-milliseconds (its own PUBLISH waits too): keep the hold shorter, or freeze a replica.',
    );
  }
  return { reasons, notes };
}

async function sentinelsWatch(session: Session, signal: AbortSignal): Promise<boolean> {
  const reply = await session.ask(signal, 'PUBSUB', 'NUMSUB', '__sentinel__:hello');
  return Array.isArray(reply) && Number(reply[1]) > 0;
}
