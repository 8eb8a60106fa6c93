import { QuiesceError } from '../../errors.ts';
import type { JsonObject, Probe } from '../engine.ts';
import { type Info, numberOf, parseInfo } from './connection/replies.ts';
import type { Session } from './connection/session.ts';

/** The fields of one INFO reply. All are of one moment, because the server is single-threaded. */
export interface ServerFacts {
  readonly flavor: 'redis' | 'valkey';
  readonly version: string;
  readonly role: 'primary' | 'replica';
  /** `standalone` or `cluster`. */
  readonly mode: string;
  /** Changes with every start of the process. */
  readonly runId: string;
  /** Identifies the history of the data; changes at a failover, and usually at a restart. */
  readonly replid: string;
  readonly offset: number;
  readonly info: Info;
}

/** @throws QuiesceError ENGINE_STARTING, ENGINE_VERSION, ENGINE_FAILED for a Sentinel */
export async function readServer(session: Session, signal: AbortSignal): Promise<ServerFacts> {
  const info = parseInfo(String(await session.call(signal, 'INFO')));
  const valkey = info.get('valkey_version');
  const version = valkey ?? info.get('redis_version') ?? '';
  const flavor = valkey === undefined ? 'redis' : 'valkey';
  if (info.get('redis_mode') === 'sentinel' || info.get('server_mode') === 'sentinel') {
    throw new QuiesceError(
      'ENGINE_FAILED',
      `${session.target} is a Sentinel, which keeps no data.`,
      {
        hint: 'Point REDIS_HOST and REDIS_PORT at the data server in the same pod.',
      },
    );
  }
  const role = info.get('role');
  const runId = info.get('run_id');
  if (version === '' || role === undefined || runId === undefined) {
    throw new QuiesceError(
      'ENGINE_FAILED',
      `${session.target} does not identify itself in INFO (version, role or run_id is missing).`,
    );
  }
  session.runId = runId;
  if (info.get('loading') === '1') {
    throw new QuiesceError('ENGINE_STARTING', 'The server is loading its data.');
  }
  const facts: ServerFacts = {
    flavor,
    version,
    role: role === 'master' ? 'primary' : 'replica',
    mode: info.get('redis_mode') ?? info.get('server_mode') ?? 'standalone',
    runId,
    replid: info.get('master_replid') ?? '',
    offset: numberOf(info, 'master_repl_offset') ?? 0,
    info,
  };
  if (!atLeast(facts, 6, 2, 0)) {
    throw new QuiesceError(
      'ENGINE_VERSION',
      `Redis ${version} cannot pause only writers: CLIENT PAUSE … WRITE needs 6.2 or newer.`,
    );
  }
  return facts;
}

export function atLeast(facts: ServerFacts, ...wanted: readonly number[]): boolean {
  const have = facts.version.split(/[.-]/).map(Number);
  for (const [at, number] of wanted.entries()) {
    const found = have[at] ?? 0;
    if (found !== number) return found > number;
  }
  return true;
}

export function toProbe({ flavor, version, role, mode, replid }: ServerFacts): Probe {
  const identity = { server: flavor, mode, ...(replid === '' ? {} : { replid }) };
  return { version, role, identity };
}

/** The server's counts of keys, and of keys with a time to live, by database. */
export function keyCounts(info: Info): Record<string, { keys: number; expires: number }> {
  const counts: Record<string, { keys: number; expires: number }> = {};
  for (const [name, value] of info) {
    const match = /^keys=(\d+),expires=(\d+)/.exec(value);
    if (/^db\d+$/.test(name) && match) {
      counts[name] = { keys: Number(match[1]), expires: Number(match[2]) };
    }
  }
  return counts;
}

/** The AOF as the server reports it. */
export function aofState(info: Info): JsonObject {
  return {
    enabled: info.get('aof_enabled') === '1',
    currentSize: numberOf(info, 'aof_current_size'),
    baseSize: numberOf(info, 'aof_base_size'),
    bufferLength: numberOf(info, 'aof_buffer_length'),
    pendingFsync: numberOf(info, 'aof_pending_bio_fsync'),
    lastWriteStatus: info.get('aof_last_write_status') ?? null,
    lastRewriteStatus: info.get('aof_last_bgrewrite_status') ?? null,
    rewriteInProgress: info.get('aof_rewrite_in_progress') === '1',
  };
}

export function rdbState(info: Info): JsonObject {
  const at = numberOf(info, 'rdb_last_save_time');
  return {
    lastSave: at === null ? null : new Date(at * 1_000).toISOString(),
    lastSaveStatus: info.get('rdb_last_bgsave_status') ?? null,
    changesSinceLastSave: numberOf(info, 'rdb_changes_since_last_save'),
    saveInProgress: info.get('rdb_bgsave_in_progress') === '1',
  };
}

/** Describes a child process that runs or is scheduled: it may write RDB or AOF files. `null`: none. */
export function runningChild(info: Info): string | null {
  const children: readonly (readonly [field: string, what: string])[] = [
    ['rdb_bgsave_in_progress', 'a background save'],
    ['aof_rewrite_in_progress', 'a rewrite of the AOF'],
    ['aof_rewrite_scheduled', 'a scheduled rewrite of the AOF'],
    ['module_fork_in_progress', "a module's child process"],
  ];
  return children.find(([field]) => info.get(field) === '1')?.[1] ?? null;
}
