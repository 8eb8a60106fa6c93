import { Socket } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';
import { Client, type ClientConfig } from 'pg';
import { type Acknowledgement, LatencyLog } from '../latency.ts';

/** The shape of the tables: the load writes it, and `verifyLedger` expects it. */
export interface LedgerShape {
  readonly clients: number;
  readonly accounts: number;
  readonly initialBalance: number;
  /** The payload of a row is this many repetitions of a 32-byte digest of (client, seq). */
  readonly payloadRepeats: number;
  /** Client `c` writes to the table `bank.ledger_N` with N = c modulo this. */
  readonly tables: number;
}

export interface LoadOptions {
  /** The database to write to; {@link WriterLoad.prepare} creates its schema `bank`. */
  readonly connection: ClientConfig;
  /** Default 8. */
  readonly clients?: number;
  /** Default 1000. */
  readonly accounts?: number;
  /** Payload bytes per ledger row, rounded up to a multiple of 32; default 256. */
  readonly payloadBytes?: number;
  /** Default 1. */
  readonly tables?: number;
  /** Mean pause of a client between transactions, in milliseconds; default 0. */
  readonly thinkMs?: number;
  /** Default `on`. With `off` a crash may lose acknowledged commits, as PostgreSQL documents. */
  readonly synchronousCommit?: 'on' | 'off' | 'local' | 'remote_write' | 'remote_apply';
  /** Called at each acknowledgement, as soon as it arrived. */
  readonly onAcknowledged?: (one: Acknowledgement) => void;
}

/** The commits acknowledged by one moment: a copy cut later must contain all of them. */
export interface Acked {
  readonly shape: LedgerShape;
  /** On the clock of `performance.now()`. */
  readonly at: number;
  /** The highest acknowledged sequence number of each client; all from 1 to it are acknowledged. */
  readonly upTo: readonly number[];
  /** Commits whose answer never came: each may be present or absent, and either is right. */
  readonly unknown: readonly { readonly client: number; readonly seq: number }[];
}

/** The number of acknowledged transactions. */
export function countAcked(acked: Acked): number {
  return acked.upTo.reduce((sum, seq) => sum + seq, 0);
}

const INITIAL_BALANCE = 10_000;
const DIGEST_BYTES = 32;
const RECONNECT_AFTER_MS = 50;
const UNIQUE_VIOLATION = '23505';

/**
 * Clients that move money between accounts and write each transfer to a ledger under their own
 * sequence (1, 2, 3 …, one per transaction). A transaction counts as acknowledged only after its
 * COMMIT returned. A client survives connection errors: it reconnects, looks whether the commit in
 * doubt is present, and continues with the next or the same number. So a gap always means that the
 * server lost a commit.
 */
export class WriterLoad {
  readonly shape: LedgerShape;
  readonly latencies = new LatencyLog();
  readonly #options: LoadOptions;
  #writers: Writer[] = [];

  constructor(options: LoadOptions) {
    this.#options = options;
    this.shape = {
      clients: options.clients ?? 8,
      accounts: options.accounts ?? 1_000,
      initialBalance: INITIAL_BALANCE,
      payloadRepeats: Math.ceil((options.payloadBytes ?? 256) / DIGEST_BYTES),
      tables: options.tables ?? 1,
    };
  }

  /** Creates the tables and the accounts. Call it once per database, before `start`. */
  async prepare(): Promise<void> {
    const client = new Client(this.#options.connection);
    await client.connect();
    try {
      await client.query(schemaSql(this.shape));
    } finally {
      await client.end();
    }
  }

  /** Connects all clients and starts writing; rejects if a client cannot connect. */
  async start(): Promise<void> {
    if (this.#writers.length > 0) throw new Error('The load was already started.');
    this.#writers = Array.from(
      { length: this.shape.clients },
      (_, index) => new Writer(index, this.shape, this.#options, this.latencies),
    );
    await Promise.all(this.#writers.map((writer) => writer.connect()));
    for (const writer of this.#writers) writer.run();
  }

  /** Lets every client finish its transaction. After `withinMs` it is cut off, its outcome unknown. */
  async stop(withinMs = 5_000): Promise<void> {
    await Promise.all(this.#writers.map((writer) => writer.stop(withinMs)));
  }

  snapshotAcked(): Acked {
    return {
      shape: this.shape,
      at: performance.now(),
      upTo: this.#writers.map((writer) => writer.acked),
      unknown: this.#writers.flatMap((writer) =>
        writer.inDoubt === undefined ? [] : [{ client: writer.index, seq: writer.inDoubt }],
      ),
    };
  }

  /** One sentence for each acknowledged commit that a client found missing when it reconnected. */
  get losses(): readonly string[] {
    return this.#writers.flatMap((writer) => (writer.loss === undefined ? [] : [writer.loss]));
  }

  /** Errors that the clients survived, in order for each client. */
  get errors(): readonly string[] {
    return this.#writers.flatMap((writer) => writer.errors);
  }
}

function schemaSql({ accounts, initialBalance, tables }: LedgerShape): string {
  const ledgers = Array.from(
    { length: tables },
    (_, n) => `
      CREATE TABLE bank.ledger_${n} (
        client int, seq bigint, from_account int NOT NULL, to_account int NOT NULL,
        amount bigint NOT NULL, payload text NOT NULL, PRIMARY KEY (client, seq));
      ALTER TABLE bank.ledger_${n} ALTER COLUMN payload SET STORAGE EXTERNAL;`,
  );
  return `
    CREATE SCHEMA bank;
    CREATE TABLE bank.accounts (id int PRIMARY KEY, balance bigint NOT NULL);
    INSERT INTO bank.accounts SELECT id, ${initialBalance} FROM generate_series(1, ${accounts}) id;
    ${ledgers.join('')}`;
}

class Writer {
  readonly index: number;
  readonly errors: string[] = [];
  acked = 0;
  inDoubt: number | undefined;
  loss: string | undefined;
  readonly #shape: LedgerShape;
  readonly #options: LoadOptions;
  readonly #latencies: LatencyLog;
  readonly #table: string;
  #random: number;
  #client: Client | undefined;
  #socket: Socket | undefined;
  #stopping = false;
  #resumed = false;
  #running: Promise<void> = Promise.resolve();

  constructor(index: number, shape: LedgerShape, options: LoadOptions, latencies: LatencyLog) {
    this.index = index;
    this.#shape = shape;
    this.#options = options;
    this.#latencies = latencies;
    this.#table = `bank.ledger_${index % shape.tables}`;
    this.#random = index + 1;
  }

  /** Connects, then finds out whether the commit in doubt, if any, took place. */
  async connect(): Promise<void> {
    const socket = new Socket();
    const client = new Client({
      connectionTimeoutMillis: 5_000,
      ...this.#options.connection,
      stream: () => socket,
    });
    this.#socket = socket;
    // Without a handler, losing an idle connection would end the process; the next query reports it.
    client.on('error', () => undefined);
    this.#client = client;
    await client.connect();
    await client.query(`SET synchronous_commit = ${this.#options.synchronousCommit ?? 'on'}`);
    const found = await client.query<{ seq: string }>(
      `SELECT coalesce(max(seq), 0) AS seq FROM ${this.#table} WHERE client = $1`,
      [this.index],
    );
    this.#resolveDoubt(Number(found.rows[0]?.seq));
  }

  #resolveDoubt(found: number): void {
    // The sequence continues where an earlier load of this database ended.
    if (!this.#resumed) this.acked = found;
    this.#resumed = true;
    if (found < this.acked) {
      this.loss = `client ${this.index}: transaction ${this.acked} was acknowledged, but the server's last is ${found}`;
      this.#stopping = true;
    }
    if (this.inDoubt !== undefined && found === this.inDoubt) this.acked = found;
    this.inDoubt = undefined;
  }

  run(): void {
    this.#running = this.#loop();
  }

  async stop(withinMs: number): Promise<void> {
    this.#stopping = true;
    const ended = await Promise.race([
      this.#running.then(() => true),
      sleep(withinMs, false, { ref: false }),
    ]);
    if (!ended) this.#cut();
    await this.#running;
    await this.#client?.end().catch(() => undefined);
  }

  #cut(): void {
    this.#socket?.destroy();
    this.#client = undefined;
  }

  async #loop(): Promise<void> {
    while (!this.#stopping) {
      try {
        if (!this.#client) await this.connect();
        if (!this.#stopping) await this.#transact();
      } catch (error) {
        this.errors.push(`client ${this.index}: ${(error as Error).message}`);
        this.#cut();
        await sleep(RECONNECT_AFTER_MS);
      }
      await this.#think();
    }
  }

  async #transact(): Promise<void> {
    const client = this.#client;
    if (!client) return;
    const seq = this.acked + 1;
    const [from, to] = this.#pair();
    const amount = 1 + this.#below(100);
    const begun = performance.now();
    await client.query('BEGIN');
    // Always the lower account first: two transfers that lock in one order cannot deadlock.
    for (const id of [Math.min(from, to), Math.max(from, to)]) {
      await client.query({
        name: 'move',
        text: 'UPDATE bank.accounts SET balance = balance + $2 WHERE id = $1',
        values: [id, id === from ? -amount : amount],
      });
    }
    await this.#insert(client, [this.index, seq, from, to, amount]);
    this.inDoubt = seq;
    await client.query('COMMIT');
    this.acked = seq;
    this.inDoubt = undefined;
    const tookMs = performance.now() - begun;
    this.#options.onAcknowledged?.({ client: this.index, seq, tookMs });
    this.#latencies.add(begun, tookMs);
  }

  async #insert(client: Client, values: readonly number[]): Promise<void> {
    try {
      await client.query({
        name: 'write',
        text: `INSERT INTO ${this.#table} VALUES ($1::int, $2::bigint, $3, $4, $5,
                 repeat(md5($1::int || ':' || $2::bigint), ${this.#shape.payloadRepeats}))`,
        values: [...values],
      });
    } catch (error) {
      // The commit in doubt was still in progress when this client reconnected and looked for it.
      if ((error as { code?: string }).code === UNIQUE_VIOLATION) this.acked = Number(values[1]);
      throw error;
    }
  }

  async #think(): Promise<void> {
    const { thinkMs = 0 } = this.#options;
    if (thinkMs > 0 && !this.#stopping) await sleep(thinkMs * (0.5 + this.#below(1_000) / 1_000));
  }

  #pair(): [number, number] {
    const from = this.#below(this.#shape.accounts);
    const other = this.#below(this.#shape.accounts - 1);
    return [from + 1, (other >= from ? other + 1 : other) + 1];
  }

  /** A repeatable pseudo-random integer in [0, limit) (mulberry32). */
  #below(limit: number): number {
    this.#random = (this.#random + 0x6d2b79f5) | 0;
    let t = Math.imul(this.#random ^ (this.#random >>> 15), 1 | this.#random);
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
    return Math.floor((((t ^ (t >>> 14)) >>> 0) / 4_294_967_296) * limit);
  }
}
