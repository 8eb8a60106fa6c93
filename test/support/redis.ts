import { chmod, mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

export { missingOn, RedisLoad } from '../../src/demo/redis-load.ts';
export { RedisServer, type RedisServerOptions } from '../../src/demo/redis-server.ts';

/**
 * The servers tests run on: those of the distribution, and whatever else QUIESCE_TEST_REDIS_SERVERS
 * names (paths, separated by colons).
 */
export const SERVERS: readonly string[] = [
  'redis-server',
  'valkey-server',
  ...(process.env['QUIESCE_TEST_REDIS_SERVERS']?.split(':').filter((path) => path !== '') ?? []),
];

/** Removed with everything in it by the function returned. */
export async function redisFolder(): Promise<{ dir: string; remove: () => Promise<void> }> {
  const dir = await mkdtemp(join(tmpdir(), 'quiesce-redis-'));
  await chmod(dir, 0o755);
  return { dir, remove: () => rm(dir, { recursive: true, force: true }) };
}
