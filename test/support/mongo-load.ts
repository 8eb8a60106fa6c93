import { setTimeout as sleep } from 'node:timers/promises';
import type { MongoClient, WriteConcernSettings } from 'mongodb';
import { type Acknowledgement, LatencyLog } from '../../src/testbed/latency.ts';
import {
  compareSequences,
  type LedgerCheck,
  type LedgerReport,
} from '../../src/testbed/sequences.ts';

export const LEDGER_DB = 'bank';
const PADDING = 'x'.repeat(1_000);

/** The number n of each writer: 1 … n are acknowledged. */
export type Acked = readonly number[];

interface Ledger {
  /** Prefix of the writers' collections, followed by the number of the writer. */
  readonly name: string;
  readonly writeConcern: WriteConcernSettings;
}

const STRONG: Ledger = { name: 'ledger', writeConcern: { w: 'majority', j: true } };
/** Acknowledged by one member before anything is on a disk. */
export const WEAK: Ledger = { name: 'weak', writeConcern: { w: 1, j: false } };

export interface MongoLoadOptions {
  /** The last number of each writer that the database has from an earlier load; default 0. */
  readonly after?: readonly number[];
  /** Called at each acknowledgement, as soon as it arrived. */
  readonly onAcknowledged?: (one: Acknowledgement) => void;
}

/** Writers that each insert 1, 2, 3 … one at a time into their own collection. */
export class MongoLoad {
  readonly #client: MongoClient;
  readonly #thinkMs: number;
  readonly #ledger: Ledger;
  readonly #options: MongoLoadOptions;
  readonly #acked: number[];
  #running: Promise<unknown> = Promise.resolve();
  #stop = false;
  /** The longest wait for one acknowledgement, in milliseconds. */
  longestMs = 0;
  readonly latencies = new LatencyLog();
  /** Writes that failed and were retried. */
  readonly errors: string[] = [];

  /**
   * @param thinkMs pause of a writer between two writes
   * @param ledger default: acknowledged by the journals of a majority
   */
  constructor(
    client: MongoClient,
    writers = 8,
    thinkMs = 0,
    ledger = STRONG,
    options: MongoLoadOptions = {},
  ) {
    this.#client = client;
    this.#ledger = ledger;
    this.#thinkMs = thinkMs;
    this.#options = options;
    this.#acked = Array.from({ length: writers }, (_one, index) => options.after?.[index] ?? 0);
  }

  acked(): Acked {
    return [...this.#acked];
  }

  get total(): number {
    return this.#acked.reduce((sum, one) => sum + one, 0);
  }

  start(): this {
    this.#stop = false;
    this.#running = Promise.all(this.#acked.map((_one, index) => this.#write(index)));
    return this;
  }

  async stop(): Promise<void> {
    this.#stop = true;
    await this.#running;
  }

  /** Resolves when this many further writes are acknowledged. */
  async progress(count: number): Promise<void> {
    const goal = this.total + count;
    while (this.total < goal) await sleep(10);
  }

  async #write(index: number): Promise<void> {
    const { name, writeConcern } = this.#ledger;
    const ledger = this.#client.db(LEDGER_DB).collection<{ _id: number }>(`${name}${index}`);
    let next = (this.#acked[index] ?? 0) + 1;
    while (!this.#stop) {
      const began = performance.now();
      try {
        const document = { _id: next, padding: PADDING };
        await ledger.insertOne(document, { writeConcern });
      } catch (error) {
        // After a lost connection the document may already be there.
        if ((error as { code?: number }).code !== 11_000) {
          this.errors.push((error as Error).message);
          await sleep(20);
          continue;
        }
      }
      const took = performance.now() - began;
      this.longestMs = Math.max(this.longestMs, took);
      this.latencies.add(began, took);
      this.#options.onAcknowledged?.({ client: index, seq: next, tookMs: took });
      this.#acked[index] = next;
      next += 1;
      if (this.#thinkMs > 0) await sleep(this.#thinkMs);
    }
  }
}

/** Acknowledged writes that a server lacks, and errors that `validate` finds; empty if there are none. */
export async function missing(
  client: MongoClient,
  acked: Acked,
  { name } = STRONG,
): Promise<string[]> {
  const problems: string[] = [];
  const found = await readNumbers(client, acked.length, name);
  for (const [index, count] of acked.entries()) {
    const of = `${name}${index}`;
    const lost = compareSequences([count], [found[index] ?? new Set()]).missing;
    if (lost > 0) problems.push(`${of} lacks ${lost} of ${count}`);
    if (count === 0) continue;
    const { valid } = await client.db(LEDGER_DB).command({ validate: of });
    if (valid !== true) problems.push(`${of} is not valid`);
  }
  return problems;
}

/**
 * Checks a server against the acknowledgements of a load: each acknowledged document must be present, no
 * writer's numbers may have a gap, and every document must be as written. An application's right to read
 * is enough.
 */
export async function verifyInserts(client: MongoClient, acked: Acked): Promise<LedgerReport> {
  const { name } = STRONG;
  const report = compareSequences(acked, await readNumbers(client, acked.length, name));
  const wrong: string[] = [];
  for (const index of acked.keys()) {
    const ledger = client.db(LEDGER_DB).collection<{ _id: number }>(`${name}${index}`);
    const differ = await ledger.find({ padding: { $ne: PADDING } }, ONLY_NUMBERS).toArray();
    wrong.push(...differ.map(({ _id }) => `${name}${index}:${_id}`));
  }
  const values: LedgerCheck = {
    name: 'values',
    ok: wrong.length === 0,
    message:
      wrong.length === 0
        ? `all ${report.rows} documents are as written`
        : `documents differ: ${wrong.slice(0, 5).join(', ')}`,
  };
  const checks = [...report.checks, values];
  return { ...report, ok: checks.every(({ ok }) => ok), checks };
}

const ONLY_NUMBERS = { projection: { _id: 1 } } as const;

/** The numbers in each writer's collection. */
export async function readNumbers(
  client: MongoClient,
  writers: number,
  name: string = STRONG.name,
): Promise<Set<number>[]> {
  const found: Set<number>[] = [];
  for (let index = 0; index < writers; index += 1) {
    const ledger = client.db(LEDGER_DB).collection<{ _id: number }>(`${name}${index}`);
    const all = await ledger.find({}, ONLY_NUMBERS).toArray();
    found.push(new Set(all.map(({ _id }) => _id)));
  }
  return found;
}
