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

/** What a freeze of this server will do, found before anything is held. */
export interface FreezePlan {
  readonly server: ServerFacts;
  readonly persistence: Persistence;
  readonly names: FileNames;
  /** `null`: the volume is not mounted here, so only the server's own fsync is to be had. */
  readonly files: ServerFiles | null;
  /** The server itself can be made to fsync, and proves it by its answer. */
  readonly serverSyncs: boolean;
  readonly changes: SettingChanges;
  /** `save` as it is; `null` where the server does not tell. */
  readonly save: string | null;
  readonly reasons: readonly string[];
  readonly notes: readonly string[];
}

const LOOK_EVERY_MS = 50;

/**
 * Looks at everything a freeze needs and waits until no child of the server writes files. Changes
 * nothing.
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

/** Waits until no child of the server is at work: one would write files under the copy. */
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
    'There is nothing to restore: this server keeps neither an AOF (appendonly no) nor RDB files (save "").',
  );
}

function requireHealth({ info }: ServerFacts, persistence: Persistence): void {
  const wrong = (what: string, hint: string): QuiesceError =>
    new QuiesceError('ENGINE_FAILED', `${what}, so what it has on disk is not known to be whole.`, {
      hint,
    });
  if (persistence === 'rdb') return;
  if (info.get('aof_last_write_status') !== 'ok') {
    throw wrong(
      'The server could not write its AOF the last time (aof_last_write_status)',
      'Free disk space for the server and look into its log.',
    );
  }
  if (info.get('aof_last_bgrewrite_status') !== 'ok') {
    throw wrong(
      'The last rewrite of the AOF failed (aof_last_bgrewrite_status)',
      "Look into the server's log; BGREWRITEAOF tries again.",
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
 * Does the server fsync before it answers? The AOF: CONFIG SET appendfsync always does from 7.0.11 on
 * (measured). An RDB file: 7.0.1 and newer also sync the folder after the rename (release notes).
 */
function fsyncsItself(server: ServerFacts, persistence: Persistence): boolean {
  if (server.flavor === 'valkey') return true;
  return persistence === 'rdb' ? atLeast(server, 7, 0, 1) : atLeast(server, 7, 0, 11);
}

function cannotProve(server: ServerFacts, refused: RefusedError | null): QuiesceError {
  const hint =
    'Mount the data volume into the sidecar and set QUIESCE_DATA_DIR: it then syncs the files itself.';
  if (refused) {
    return new QuiesceError(
      'ENGINE_PRIVILEGE',
      `${refused.message} Without it the server cannot be made to write its AOF to the disk.`,
      {
        hint: `${refused.hint} Or: ${hint}`,
        cause: refused,
      },
    );
  }
  return new QuiesceError(
    'ENGINE_VERSION',
    `Redis ${server.version} does not prove that what it acknowledged is on the disk (7.0.11 and newer do), and its files are not mounted here.`,
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
    // A save during the hold would put a new dump.rdb under a copy that goes file by file.
    ...(persistence === 'aof+rdb' && copy === 'files' ? { save: '' } : {}),
    ...(serverSyncs ? { 'no-appendfsync-on-rewrite': 'no', appendfsync: 'always' } : {}),
  };
}

/** The settings that stay changed during the hold; the others are put back before it begins. */
export const HELD_SETTINGS = ['auto-aof-rewrite-percentage', 'save'] as const;
export const SYNC_SETTINGS = ['no-appendfsync-on-rewrite', 'appendfsync'] as const;

/** A save that took longer than the whole lease the last time will not be quicker with writers waiting. */
function requireTime(
  { info }: ServerFacts,
  persistence: Persistence,
  context: FreezeContext,
): void {
  const seconds = numberOf(info, 'rdb_last_bgsave_time_sec') ?? -1;
  if (persistence !== 'rdb' || seconds * 1_000 < context.ttlMs) return;
  throw new QuiesceError(
    'ENGINE_RESOURCES',
    `The last save took ${seconds} s, which is longer than the lease of ${context.ttlMs / 1_000} s for which writers may wait.`,
    { hint: 'Turn on the AOF (appendonly yes), freeze a replica, or give a longer lease (--ttl).' },
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
  const say = (code: string, note: string): void => {
    reasons.push(code);
    notes.push(note);
  };
  const paused = server.info.get('paused_actions');
  if (paused !== undefined && paused !== 'none') {
    throw new QuiesceError(
      'ENGINE_FAILED',
      `Somebody else has paused clients of this server already (paused_actions: ${paused}); a thaw would end that pause, too.`,
      {
        hint: 'Wait until that pause ends, or end it with CLIENT UNPAUSE.',
      },
    );
  }
  if (server.mode === 'cluster') {
    say(
      'no-cross-shard-point',
      'One node of a cluster, by itself: there is no point in time that holds across shards, however their freezes overlap.',
    );
  }
  if (refused) {
    say(
      'rewrites-not-guarded',
      `Rewrites of the AOF could not be put off, for the server does not let us: ${refused.message} One during the hold makes the verdict inconsistent.`,
    );
  }
  if (server.role === 'primary' && (await sentinelsWatch(session, signal))) {
    say(
      'sentinel-watches',
      'A Sentinel watches this primary, and takes it for dead when writers are paused for longer than down-after-milliseconds (its own PUBLISH waits, too): keep the hold shorter, or freeze a replica.',
    );
  }
  return { reasons, notes };
}

async function sentinelsWatch(session: Session, signal: AbortSignal): Promise<boolean> {
  const reply = await session.ask(signal, 'PUBSUB', 'NUMSUB', '__sentinel__:hello');
  return Array.isArray(reply) && Number(reply[1]) > 0;
}
