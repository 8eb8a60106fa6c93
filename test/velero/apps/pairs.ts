import { setTimeout as sleep } from 'node:timers/promises';
import { Redis } from 'ioredis';
import { Client } from 'pg';

/** Which database a writer of pairs writes to first; it writes to the other one when that is acknowledged. */
export type First = 'postgres' | 'redis';

export interface PairsAddress {
  readonly postgres: { readonly host: string; readonly password: string };
  readonly redis: { readonly host: string; readonly password: string };
}

/** The numbers that both databases have of one writer, in the order of writing. */
export interface PairsSeen {
  readonly first: First;
  readonly writer: number;
  /** The highest number whose two writes were acknowledged before the freeze was called. */
  readonly acknowledged: number;
  readonly postgres: readonly number[];
  readonly redis: readonly number[];
}

interface Pair {
  readonly at: number;
  readonly number: number;
}

const WRITERS = 3;
const THINK_MS = 5;

/** An application with state in PostgreSQL and in Redis: each number goes to one of them, then to the other. */
export class PairWriters {
  readonly #acknowledged = new Map<string, Pair[]>();
  readonly #running: Promise<void>[] = [];
  readonly #stop = new AbortController();

  async start(address: PairsAddress): Promise<void> {
    const client = await connect(address);
    await client.query('CREATE TABLE IF NOT EXISTS pairs (writer text, number int)');
    await client.end();
    for (const first of ['postgres', 'redis'] as const) {
      for (let writer = 0; writer < WRITERS; writer += 1) {
        this.#running.push(this.#write(address, first, nameOf(first, writer)));
      }
    }
  }

  /** @throws what ended a writer before its time */
  async stop(): Promise<void> {
    this.#stop.abort();
    await Promise.all(this.#running);
  }

  get total(): number {
    return [...this.#acknowledged.values()].reduce((all, pairs) => all + pairs.length, 0);
  }

  /** What the databases at an address have of what was written. */
  async read(address: PairsAddress, freezeCalledAt: Date): Promise<readonly PairsSeen[]> {
    const client = await connect(address);
    const cache = new Redis({ ...address.redis, maxRetriesPerRequest: 1 });
    cache.on('error', () => undefined);
    try {
      const seen: PairsSeen[] = [];
      for (const first of ['postgres', 'redis'] as const) {
        for (let writer = 0; writer < WRITERS; writer += 1) {
          const name = nameOf(first, writer);
          const { rows } = await client.query<{ number: number }>(
            'SELECT number FROM pairs WHERE writer = $1 ORDER BY number',
            [name],
          );
          const kept = await cache.lrange(name, 0, -1);
          const before = this.#acknowledged
            .get(name)
            ?.filter(({ at }) => at < freezeCalledAt.getTime());
          seen.push({
            first,
            writer,
            acknowledged: before?.at(-1)?.number ?? 0,
            postgres: rows.map(({ number }) => number),
            redis: kept.map(Number),
          });
        }
      }
      return seen;
    } finally {
      cache.disconnect();
      await client.end();
    }
  }

  async #write(address: PairsAddress, first: First, name: string): Promise<void> {
    const client = await connect(address);
    const cache = new Redis({ ...address.redis, maxRetriesPerRequest: 1 });
    cache.on('error', () => undefined);
    const pairs: Pair[] = [];
    this.#acknowledged.set(name, pairs);
    const toPostgres = async (number: number): Promise<void> => {
      await client.query('INSERT INTO pairs VALUES ($1, $2)', [name, number]);
    };
    const toRedis = async (number: number): Promise<void> => {
      await cache.rpush(name, number);
    };
    const steps = first === 'postgres' ? [toPostgres, toRedis] : [toRedis, toPostgres];
    try {
      for (let number = 1; !this.#stop.signal.aborted; number += 1) {
        for (const step of steps) await step(number);
        pairs.push({ at: Date.now(), number });
        await sleep(THINK_MS);
      }
    } finally {
      cache.disconnect();
      await client.end();
    }
  }
}

/** All that is wrong with what a restore brought back; empty if no order of writing is violated. */
export function violations(seen: readonly PairsSeen[]): readonly string[] {
  return seen.flatMap(({ first, writer, acknowledged, postgres, redis }) => {
    const who = `writer ${writer}, ${first} first`;
    const [earlier, later] = first === 'postgres' ? [postgres, redis] : [redis, postgres];
    const found: string[] = [];
    for (const [what, numbers] of Object.entries({ postgres, redis })) {
      if (numbers.some((number, at) => number !== at + 1)) found.push(`${who}: ${what} has a gap`);
      if (numbers.length < acknowledged) {
        found.push(`${who}: ${what} has ${numbers.length} of ${acknowledged} acknowledged pairs`);
      }
    }
    if (later.length > earlier.length) {
      found.push(`${who}: ${later.length} second writes, but only ${earlier.length} first ones`);
    }
    return found;
  });
}

function nameOf(first: First, writer: number): string {
  return `${first}-first-${writer}`;
}

async function connect({ postgres }: PairsAddress): Promise<Client> {
  const client = new Client({ ...postgres, user: 'postgres', database: 'postgres' });
  client.on('error', () => undefined);
  await client.connect();
  return client;
}
