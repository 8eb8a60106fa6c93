import { createHash } from 'node:crypto';
import type { JsonObject } from '../../engine.ts';
import type { Session } from '../connection/session.ts';

/** At most this many elements of a value are read: sampling must not keep writers waiting. */
const LARGEST = 1_000;
const PAGE = 100;

/** How to read a whole value of each type. `sorted`: its elements come in no order, so they are sorted. */
const READ: Readonly<Record<string, { size: string; read: readonly string[]; sorted: boolean }>> = {
  string: { size: 'STRLEN', read: ['GETRANGE', '0', '-1'], sorted: false },
  list: { size: 'LLEN', read: ['LRANGE', '0', '-1'], sorted: false },
  set: { size: 'SCARD', read: ['SMEMBERS'], sorted: true },
  zset: { size: 'ZCARD', read: ['ZRANGE', '0', '-1', 'WITHSCORES'], sorted: false },
  hash: { size: 'HLEN', read: ['HGETALL'], sorted: true },
  stream: { size: 'XLEN', read: ['XRANGE', '-', '+'], sorted: false },
};

/**
 * Digests of up to `count` keys of database 0 (REDIS_SAMPLE_KEYS): the first that SCAN returns. Skips
 * keys with a time to live and large values. The key names appear in the receipt.
 *
 * @returns key → digest; `null` where `count` is 0.
 */
export async function readSample(
  session: Session,
  count: number,
  signal: AbortSignal,
): Promise<JsonObject | null> {
  if (count === 0) return null;
  const sample: Record<string, string> = {};
  let cursor = '0';
  do {
    const reply = (await session.call(signal, 'SCAN', cursor, 'COUNT', PAGE)) as [string, string[]];
    cursor = reply[0];
    for (const key of reply[1]) {
      if (Object.keys(sample).length >= count) break;
      const digest = await digestOf(session, key, signal);
      if (digest !== null) sample[key] = digest;
    }
  } while (cursor !== '0' && Object.keys(sample).length < count);
  return sample;
}

/** SHA-256 of type and value, whatever the encoding; `null` for a key that is not sampled. */
export async function digestOf(
  session: Session,
  key: string,
  signal: AbortSignal,
): Promise<string | null> {
  const type = String(await session.call(signal, 'TYPE', key));
  const how = READ[type];
  if (!how || Number(await session.call(signal, 'TTL', key)) !== -1) return null;
  const largest = type === 'string' ? LARGEST * 100 : LARGEST;
  if (Number(await session.call(signal, how.size, key)) > largest) return null;
  const [command = '', ...args] = how.read;
  const value = await session.bytes(signal, command, key, ...args);
  return createHash('sha256')
    .update(JSON.stringify([type, how.sorted ? ordered(type, value) : value]))
    .digest('hex');
}

/** Sorts the elements of a set, or the pairs of a hash, by their bytes: the server returns them in any order. */
function ordered(type: string, value: unknown): unknown {
  const items = (value as unknown[]).map(String);
  if (type === 'set') return items.sort();
  return items
    .flatMap((field, at) => (at % 2 === 0 ? [JSON.stringify([field, items[at + 1]])] : []))
    .sort();
}
