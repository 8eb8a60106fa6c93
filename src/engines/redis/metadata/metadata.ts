import type { Json, JsonObject } from '../../engine.ts';
import { type Info, numberOf, parsePairs } from '../connection/replies.ts';
import { aofState, keyCounts, rdbState, readServer, type ServerFacts } from '../server.ts';
import type { Session } from '../connection/session.ts';

/**
 * The settings that matter when a server is rebuilt, with their defaults (redis.conf of 6.2 to 8,
 * valkey.conf). Never a setting that holds a secret.
 */
const DEFAULTS: Readonly<Record<string, string>> = {
  activedefrag: 'no',
  'active-expire-effort': '1',
  'aof-load-truncated': 'yes',
  'aof-use-rdb-preamble': 'yes',
  appendfilename: 'appendonly.aof',
  appenddirname: 'appendonlydir',
  appendfsync: 'everysec',
  appendonly: 'no',
  'auto-aof-rewrite-min-size': '67108864',
  'auto-aof-rewrite-percentage': '100',
  'cluster-enabled': 'no',
  databases: '16',
  dbfilename: 'dump.rdb',
  'lazyfree-lazy-eviction': 'no',
  'lazyfree-lazy-expire': 'no',
  maxclients: '10000',
  maxmemory: '0',
  'maxmemory-policy': 'noeviction',
  'min-replicas-max-lag': '10',
  'min-replicas-to-write': '0',
  'no-appendfsync-on-rewrite': 'no',
  'notify-keyspace-events': '',
  'rdb-save-incremental-fsync': 'yes',
  rdbchecksum: 'yes',
  rdbcompression: 'yes',
  'repl-backlog-size': '1048576',
  'repl-diskless-sync': 'yes',
  'repl-timeout': '60',
  'replica-priority': '100',
  'replica-read-only': 'yes',
  'replica-serve-stale-data': 'yes',
  save: '3600 1 300 100 60 10000',
  'stop-writes-on-bgsave-error': 'yes',
  timeout: '0',
  'tls-auth-clients': 'yes',
  'tls-port': '0',
  'tls-replication': 'no',
};

/**
 * What an operator needs in addition to the data. Sections that the ACL does not let us read are `null`
 * and listed in `notAllowed`. It contains no passwords or their hashes, no keys and no values.
 */
export async function readMetadata(session: Session, signal: AbortSignal): Promise<JsonObject> {
  const server = await readServer(session, signal);
  const settings = await session.ask(signal, 'CONFIG', 'GET', '*');
  const users = await session.ask(signal, 'ACL', 'LIST');
  const modules = await session.ask(signal, 'INFO', 'modules');
  const known = settings === null ? null : parsePairs(settings);
  const refused = { 'config|get': settings, 'acl|list': users };
  const notAllowed = Object.entries(refused).flatMap(([rule, reply]) =>
    reply === null ? [rule] : [],
  );
  return {
    server: describeServer(server),
    replication: describeReplication(server),
    persistence: {
      aof: aofState(server.info),
      rdb: rdbState(server.info),
      settings:
        known &&
        pick(known, [
          'appendonly',
          'appendfsync',
          'save',
          'dir',
          'dbfilename',
          'appendfilename',
          'appenddirname',
          'auto-aof-rewrite-percentage',
        ]),
    },
    memory: numbers(server.info, [
      'used_memory',
      'used_memory_rss',
      'used_memory_peak',
      'used_memory_dataset',
      'maxmemory',
      'total_system_memory',
      'mem_fragmentation_ratio',
    ]),
    databases: keyCounts(server.info),
    modules: [
      ...(typeof modules === 'string' ? modules : '').matchAll(
        /^module:name=([^,]+),ver=([^,]+)/gm,
      ),
    ].map(([, name = '', version = '']) => ({ name, version })),
    users: Array.isArray(users) ? users.map(withoutSecrets) : null,
    settings: known && differing(known),
    notAllowed,
  };
}

function describeServer({ flavor, version, mode, role, runId, info }: ServerFacts): JsonObject {
  return {
    flavor,
    version,
    mode,
    role,
    runId,
    startedSecondsAgo: numberOf(info, 'uptime_in_seconds'),
    // `Linux 6.1.0-18-amd64 x86_64`
    architecture: info.get('os')?.split(' ').at(-1) ?? null,
    configFile: info.get('config_file') ?? null,
    connectedClients: numberOf(info, 'connected_clients'),
  };
}

function describeReplication({ info, replid, offset, role }: ServerFacts): JsonObject {
  const replicas: Json[] = [];
  for (const [name, value] of info) {
    if (!/^slave\d+$/.test(name)) continue;
    const fields = Object.fromEntries(
      value.split(',').map((pair) => pair.split('=') as [string, string]),
    );
    const at = Number(fields['offset']);
    replicas.push({
      address: `${fields['ip']}:${fields['port']}`,
      state: fields['state'] ?? null,
      offset: at,
      behindBytes: Math.max(0, offset - at),
      lagSeconds: Number(fields['lag']),
    });
  }
  const primary =
    role === 'primary'
      ? null
      : {
          address: `${info.get('master_host')}:${info.get('master_port')}`,
          link: info.get('master_link_status') ?? null,
          lastHeardSecondsAgo: numberOf(info, 'master_last_io_seconds_ago'),
          offset: numberOf(info, 'slave_repl_offset'),
          syncInProgress: info.get('master_sync_in_progress') === '1',
        };
  return { replid, offset, replid2: info.get('master_replid2') ?? null, replicas, primary };
}

function numbers(info: Info, fields: readonly string[]): JsonObject {
  return Object.fromEntries(
    fields.map((field) => {
      const value = info.get(field);
      return [field, value === undefined || Number.isNaN(Number(value)) ? null : Number(value)];
    }),
  );
}

function pick(settings: ReadonlyMap<string, string>, names: readonly string[]): JsonObject {
  return Object.fromEntries(names.map((name) => [name, settings.get(name) ?? null]));
}

function differing(settings: ReadonlyMap<string, string>): JsonObject {
  const names = Object.keys(DEFAULTS).filter(
    (name) => settings.has(name) && settings.get(name) !== DEFAULTS[name],
  );
  return pick(settings, names);
}

/** Reads `user NAME on #HASH ~* +@all`. Passwords are only counted. */
function withoutSecrets(line: unknown): JsonObject {
  const [, name = '', ...rules] = String(line).split(' ');
  const secret = (rule: string): boolean => /^[#>!<]/.test(rule);
  return {
    name,
    builtin: name === 'default',
    passwords: rules.filter(secret).length,
    rules: rules.filter((rule) => !secret(rule)).join(' '),
  };
}
