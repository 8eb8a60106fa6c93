import { chmod, mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import type { RedisServer } from '../../src/testbed/redis/server.ts';

export { missingOn, RedisLoad } from '../../src/testbed/redis/load.ts';
export { RedisServer, type RedisServerOptions } from '../../src/testbed/redis/server.ts';

/** Additional servers from QUIESCE_TEST_REDIS_SERVERS: paths, separated by colons. */
export const FURTHER_SERVERS: readonly string[] =
  process.env['QUIESCE_TEST_REDIS_SERVERS']?.split(':').filter((path) => path !== '') ?? [];

/** The servers that tests run on: those of the distribution, and the additional ones. */
export const SERVERS: readonly string[] = ['redis-server', 'valkey-server', ...FURTHER_SERVERS];

/** Ways of a server to persist its data, as lines of its configuration. */
export const POLICIES = {
  'AOF everysec': ['appendonly yes', 'appendfsync everysec', 'save ""'],
  'AOF always': ['appendonly yes', 'appendfsync always', 'save ""'],
  'AOF no': ['appendonly yes', 'appendfsync no', 'save ""'],
  'RDB only': ['appendonly no', 'save 3600 1'],
} as const;
export type Policy = keyof typeof POLICIES;

/** The least-privileged user as documented. */
export const USER = { name: 'quiesce', password: 'pw-5d1c7e' } as const;

/** The line of roles/redis.acl, with the password of {@link USER}. */
export async function aclLine(): Promise<string> {
  const text = await readFile(new URL('../../roles/redis.acl', import.meta.url), 'utf8');
  const line = text.split('\n').find((one) => one.startsWith('user '));
  return (line ?? '').replace('<password>', USER.password);
}

/** One write by a separate client. Resolves when it is acknowledged. */
export async function writeOnce(server: RedisServer): Promise<void> {
  const client = server.connect();
  // Without retries: the write is never sent again on another connection.
  client.options.retryStrategy = () => null;
  try {
    await client.incr('app');
  } finally {
    client.disconnect();
  }
}

/**
 * Reports a pause of clients in one sentence. Older servers do not report it; there a waiting write shows
 * it.
 */
export async function pauseOf(server: RedisServer): Promise<readonly string[]> {
  const paused = await server.info('paused_actions');
  if (paused !== '') return paused === 'none' ? [] : [`paused_actions: ${paused}`];
  const late = sleep(300, true, { ref: false });
  const waits = await Promise.race([writeOnce(server).then(() => false), late]);
  return waits ? ['a write waits'] : [];
}

/** Connections of the least-privileged user. */
export async function sessionsOf(server: RedisServer): Promise<number> {
  const list = String(await server.admin.call('CLIENT', 'LIST'));
  return list.split('\n').filter((line) => line.includes(` user=${USER.name} `)).length;
}

/** Closes the connections of the least-privileged user. @returns how many there were */
export async function cutSessionsOf(server: RedisServer): Promise<number> {
  return Number(await server.admin.call('CLIENT', 'KILL', 'USER', USER.name));
}

/** Makes a temporary folder; `remove` deletes it with everything in it. */
export async function redisFolder(): Promise<{ dir: string; remove: () => Promise<void> }> {
  const dir = await mkdtemp(join(tmpdir(), 'quiesce-redis-'));
  await chmod(dir, 0o755);
  return { dir, remove: () => rm(dir, { recursive: true, force: true }) };
}

/** Settings that a freeze may change, or that affect what a copy contains. */
const WATCHED = [
  'appendfsync',
  'auto-aof-rewrite-percentage',
  'no-appendfsync-on-rewrite',
  'save',
  'appendonly',
];

export async function settingsOf(server: RedisServer): Promise<ReadonlyMap<string, string>> {
  const found = new Map<string, string>();
  for (const name of WATCHED) found.set(name, await server.config(name));
  return found;
}

/** @returns the differences, one sentence each */
export async function changedSince(
  server: RedisServer,
  before: ReadonlyMap<string, string>,
): Promise<readonly string[]> {
  const now = await settingsOf(server);
  return [...before]
    .filter(([name, was]) => now.get(name) !== was)
    .map(([name, was]) => `${name} is "${now.get(name)}", was "${was}"`);
}
