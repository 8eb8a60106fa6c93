import { chmod, mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import type { RedisServer } from '../../src/testbed/redis/server.ts';

export { missingOn, RedisLoad } from '../../src/testbed/redis/load.ts';
export { RedisServer, type RedisServerOptions } from '../../src/testbed/redis/server.ts';

/** Further servers that QUIESCE_TEST_REDIS_SERVERS names: paths, separated by colons. */
export const FURTHER_SERVERS: readonly string[] =
  process.env['QUIESCE_TEST_REDIS_SERVERS']?.split(':').filter((path) => path !== '') ?? [];

/** The servers tests run on: those of the distribution, and the further ones. */
export const SERVERS: readonly string[] = ['redis-server', 'valkey-server', ...FURTHER_SERVERS];

/** Ways of a server to keep its data, as lines of its configuration. */
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

/** One write by a client of its own: resolves when it is acknowledged. */
export async function writeOnce(server: RedisServer): Promise<void> {
  const client = server.connect();
  // On one connection: it is not sent again on another.
  client.options.retryStrategy = () => null;
  try {
    await client.incr('app');
  } finally {
    client.disconnect();
  }
}

/**
 * Tells of a pause of clients, one sentence. Older servers do not tell of it: there a write that waits
 * does.
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

/** Ends them. @returns how many there were. */
export async function cutSessionsOf(server: RedisServer): Promise<number> {
  return Number(await server.admin.call('CLIENT', 'KILL', 'USER', USER.name));
}

/** Removed with everything in it by the function returned. */
export async function redisFolder(): Promise<{ dir: string; remove: () => Promise<void> }> {
  const dir = await mkdtemp(join(tmpdir(), 'quiesce-redis-'));
  await chmod(dir, 0o755);
  return { dir, remove: () => rm(dir, { recursive: true, force: true }) };
}

/** Settings that a freeze may change, or that decide what a copy is worth. */
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

/** @returns what is not as it was, one sentence each. */
export async function changedSince(
  server: RedisServer,
  before: ReadonlyMap<string, string>,
): Promise<readonly string[]> {
  const now = await settingsOf(server);
  return [...before]
    .filter(([name, was]) => now.get(name) !== was)
    .map(([name, was]) => `${name} is "${now.get(name)}", was "${was}"`);
}
