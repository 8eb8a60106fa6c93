import type { Redis } from 'ioredis';
import { compareSequences, type LedgerCheck, type LedgerReport } from '../sequences.ts';
import { valueOf } from './load.ts';

const BATCH = 1_000;
const LISTED = 5;

/**
 * Checks a server against the acknowledgements of a load with `keep: 'every'`. Each acknowledged write
 * must be present, no writer's sequence may have a gap, and every value must be what was written.
 * Reads all keys.
 */
export async function verifyWrites(client: Redis, acked: readonly number[]): Promise<LedgerReport> {
  const found = await readSequences(client, acked.length);
  const report = compareSequences(acked, found);
  const wrong = await readWrong(client, found);
  const values: LedgerCheck = {
    name: 'values',
    ok: wrong.length === 0,
    message:
      wrong.length === 0
        ? `all ${report.rows} values are as written`
        : `values differ: ${wrong.slice(0, LISTED).join(', ')}`,
  };
  const checks = [...report.checks, values];
  return { ...report, ok: checks.every(({ ok }) => ok), checks };
}

/** The sequence numbers in each writer's keys. */
export async function readSequences(client: Redis, writers: number): Promise<Set<number>[]> {
  const found = Array.from({ length: writers }, () => new Set<number>());
  let cursor = '0';
  do {
    const [next, keys] = await client.scan(cursor, 'MATCH', 'writer:*', 'COUNT', BATCH);
    for (const key of keys) {
      const [, writer, seq] = key.split(':').map(Number);
      found[writer ?? -1]?.add(seq ?? 0);
    }
    cursor = next;
  } while (cursor !== '0');
  return found;
}

/** The keys whose values differ from what was written. */
async function readWrong(client: Redis, found: readonly ReadonlySet<number>[]): Promise<string[]> {
  const wrong: string[] = [];
  for (const [writer, numbers] of found.entries()) {
    const all = [...numbers];
    for (let from = 0; from < all.length; from += BATCH) {
      const some = all.slice(from, from + BATCH);
      const keys = some.map((seq) => `writer:${writer}:${seq}`);
      const values = await client.mget(keys);
      wrong.push(...keys.filter((_key, i) => values[i] !== valueOf(writer, some[i] ?? 0)));
    }
  }
  return wrong;
}
