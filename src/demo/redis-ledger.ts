import type { Redis } from 'ioredis';
import type { DemoCheck } from './checks.ts';
import type { Comparison } from './database.ts';
import { describeRanges } from '../testbed/postgres/ledger.ts';
import { valueOf } from '../testbed/redis/load.ts';

const BATCH = 1_000;

/**
 * Checks a server against the acknowledgements of a load with `keep: 'every'`. Each acknowledged write
 * must be present, no writer's sequence may have a gap, and every value must be what was written.
 * Reads all keys.
 */
export async function verifyWrites(admin: Redis, acked: readonly number[]): Promise<Comparison> {
  const found = await readSequences(admin, acked.length);
  const lost = describeEach(acked, (upTo, writer) =>
    numbersTo(upTo).filter((seq) => !found[writer]?.has(seq)),
  );
  const gaps = describeEach(acked, (upTo, writer) => {
    const last = [...(found[writer] ?? [])].reduce((most, seq) => Math.max(most, seq), upTo);
    return numbersTo(last).filter((seq) => seq > upTo && !found[writer]?.has(seq));
  });
  const wrong = await readWrong(admin, found);
  const acknowledged = acked.reduce((sum, upTo) => sum + upTo, 0);
  const present = found.reduce((sum, numbers) => sum + numbers.size, 0);
  const known = acked.map((upTo, writer) => [...(found[writer] ?? [])].filter((n) => n <= upTo));
  const beyond = present - known.reduce((sum, numbers) => sum + numbers.length, 0);
  const gapless = lost === '' && gaps === '';
  const checks: DemoCheck[] = [
    check(
      'acknowledged',
      lost === '',
      `all ${acknowledged} acknowledged writes are present`,
      `acknowledged but missing: ${lost}`,
    ),
    check(
      'no-gap',
      gapless,
      `no gap in the sequences of ${acked.length} writers`,
      `gaps in sequences: ${[lost, gaps].filter(Boolean).join('; ')}`,
    ),
    check(
      'values',
      wrong.length === 0,
      `all ${present} values are as written`,
      `values differ: ${wrong.slice(0, 5).join(', ')}`,
    ),
  ];
  return { checks, found: present, beyond };
}

function check(name: string, ok: boolean, good: string, bad: string): DemoCheck {
  return { name, ok, message: ok ? good : bad };
}

const numbersTo = (last: number): number[] => Array.from({ length: last }, (_none, i) => i + 1);

function describeEach(
  acked: readonly number[],
  missing: (upTo: number, writer: number) => readonly number[],
): string {
  return acked
    .map((upTo, writer) => [writer, upTo, missing(upTo, writer)] as const)
    .filter(([, , numbers]) => numbers.length > 0)
    .map(
      ([writer, upTo, numbers]) => `writer ${writer} lacks ${describeRanges(numbers)} of ${upTo}`,
    )
    .join('; ');
}

/** The sequence numbers in each writer's keys. */
async function readSequences(admin: Redis, writers: number): Promise<Set<number>[]> {
  const found = Array.from({ length: writers }, () => new Set<number>());
  let cursor = '0';
  do {
    const [next, keys] = await admin.scan(cursor, 'MATCH', 'writer:*', 'COUNT', BATCH);
    for (const key of keys) {
      const [, writer, seq] = key.split(':').map(Number);
      found[writer ?? -1]?.add(seq ?? 0);
    }
    cursor = next;
  } while (cursor !== '0');
  return found;
}

/** The keys whose values differ from what was written. */
async function readWrong(admin: Redis, found: readonly ReadonlySet<number>[]): Promise<string[]> {
  const wrong: string[] = [];
  for (const [writer, numbers] of found.entries()) {
    const all = [...numbers];
    for (let from = 0; from < all.length; from += BATCH) {
      const some = all.slice(from, from + BATCH);
      const keys = some.map((seq) => `writer:${writer}:${seq}`);
      const values = await admin.mget(keys);
      wrong.push(...keys.filter((_key, i) => values[i] !== valueOf(writer, some[i] ?? 0)));
    }
  }
  return wrong;
}
