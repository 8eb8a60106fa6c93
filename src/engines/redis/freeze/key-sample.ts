import { createHash } from 'node:crypto';
import type { JsonObject } from '../../engine.ts';
import type { Session } from '../connection/session.ts';

/** Elements of one value that are read at most: sampling must not keep writers waiting. */
const LARGEST = 1_000;
const PAGE = 100;

/** How a type's whole value is read, and whether its elements have an order of their own. */
const READ: Readonly<Record<string, { size: string; read: readonly string[]; sorted: boolean }>> = {
  string: { size: 'STRLEN', read: ['GETRANGE', '0', '-1'], sorted: false },
  list: { size: 'LLEN', read: ['LRANGE', '0', '-1'], sorted: false },
  set: { size: 'SCARD', read: ['SMEMBERS'], sorted: true },
  zset: { size: 'ZCARD', read: ['ZRANGE', '0', '-1', 'WITHSCORES'], sorted: false },
  hash: { size: 'HLEN', read: ['HGETALL'], sorted: true },
  stream: { size: 'XLEN', read: ['XRANGE', '-', '+'], sorted: false },
};

/**
 * A digest of each of some keys of database 0, on request (REDIS_SAMPLE_KEYS): the first that SCAN
 * meets. Keys with a time to live and large values are left out. Key names stand in the receipt.
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

/** SHA-256 over type and value, the same whatever the encoding; `null` for what is not sampled. */
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

/** Sets and hashes come in any order: elements, or pairs of field and value, by their bytes. */
function ordered(type: string, value: unknown): unknown {
  const items = (value as unknown[]).map(String);
  if (type === 'set') return items.sort();
  return items
    .flatMap((field, at) => (at % 2 === 0 ? [JSON.stringify([field, items[at + 1]])] : []))
    .sort();
}
