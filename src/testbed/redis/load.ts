import { createHash } from 'node:crypto';
import { setTimeout as sleep } from 'node:timers/promises';
import type { Redis } from 'ioredis';
import { type Acknowledgement, LatencyLog } from '../latency.ts';
import type { RedisServer } from './server.ts';

export interface RedisLoadOptions {
  /**
   * `last`: a writer overwrites its one key `writer:N`, so any load fits in memory. `every`: each write
   * creates a key `writer:N:SEQ`, so a gap shows. Default `last`.
   */
  readonly keep?: 'last' | 'every';
  /** Mean pause of a writer between writes, in milliseconds; default 0. */
  readonly thinkMs?: number;
  /** The last number of each writer that the server has from an earlier load; default 0. */
  readonly after?: readonly number[];
  /** Called at each acknowledgement, as soon as it arrived. */
  readonly onAcknowledged?: (one: Acknowledgement) => void;
}

const DIGEST_REPEATS = 4;
const RETRY_AFTER_MS = 10;

/** The value of write number `seq` of writer `writer`; a check can compute it again. */
export function valueOf(writer: number, seq: number): string {
  const digest = createHash('md5').update(`${writer}:${seq}`).digest('hex');
  return `${seq}:${digest.repeat(DIGEST_REPEATS)}`;
}

/**
 * Writers that count up, each with its own sequence (1, 2, 3 …, one per write). A write counts as
 * acknowledged only after its OK. A failed write is sent again under the same number, so a gap always
 * means that the server lost a write.
 */
export class RedisLoad {
  /** The highest acknowledged number of each writer; all from 1 to it are acknowledged. */
  readonly acked: number[];
  readonly latencies = new LatencyLog();
  /** Errors that writers survived after their first acknowledged write. */
  readonly errors: string[] = [];
  readonly #server: Pick<RedisServer, 'connect'>;
  readonly #options: RedisLoadOptions;
  readonly #clients: Redis[] = [];
  #running = false;
  #done: Promise<unknown> = Promise.resolve();

  constructor(server: Pick<RedisServer, 'connect'>, writers = 8, options: RedisLoadOptions = {}) {
    this.#server = server;
    this.#options = options;
    this.acked = Array.from({ length: writers }, (_none, writer) => options.after?.[writer] ?? 0);
  }

  start(): void {
    this.#running = true;
    this.#done = Promise.all(this.acked.map((_none, writer) => this.#write(writer)));
  }

  /** Waits for every writer's answer. After `withinMs` they are cut off, their outcomes unknown. */
  async stop(withinMs = 500): Promise<void> {
    this.#running = false;
    await Promise.race([this.#done, sleep(withinMs, undefined, { ref: false })]);
    for (const client of this.#clients.splice(0)) client.disconnect();
    await this.#done;
  }

  get total(): number {
    return this.acked.reduce((sum, count) => sum + count, 0);
  }

  async #write(writer: number): Promise<void> {
    const { keep = 'last', thinkMs = 0 } = this.#options;
    // Without a queue, a write that cannot be sent now fails now.
    const client = this.#server.connect({ queue: false });
    this.#clients.push(client);
    let connected = false;
    while (this.#running) {
      const seq = (this.acked[writer] ?? 0) + 1;
      const key = keep === 'last' ? `writer:${writer}` : `writer:${writer}:${seq}`;
      const begun = performance.now();
      try {
        await client.set(key, valueOf(writer, seq));
        this.acked[writer] = seq;
        connected = true;
        const tookMs = performance.now() - begun;
        this.#options.onAcknowledged?.({ client: writer, seq, tookMs });
        this.latencies.add(begun, tookMs);
      } catch (error) {
        const { message } = error as Error;
        if (connected && this.#running) this.errors.push(`writer ${writer}: ${message}`);
        await sleep(RETRY_AFTER_MS);
      }
      if (thinkMs > 0 && this.#running) await sleep(thinkMs * (0.5 + Math.random()));
    }
  }
}

/** The number of acknowledged writes that a server lacks, for a load with `keep: 'last'`. */
export async function missingOn(server: RedisServer, acked: readonly number[]): Promise<number> {
  let missing = 0;
  for (const [writer, count] of acked.entries()) {
    const value = await server.admin.get(`writer:${writer}`);
    missing += Math.max(0, count - Number(value?.split(':')[0] ?? 0));
  }
  return missing;
}
