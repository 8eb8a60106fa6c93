import { readFile, rename } from 'node:fs/promises';
import { join } from 'node:path';
import { z } from 'zod';
import { QuiesceError } from '../errors.ts';
import {
  describeErrno,
  isMissing,
  makeFolder,
  removeDurably,
  type ReservedFile,
  reserveDurably,
  sweepTemporary,
  writeDurably,
} from '../lib/durable-files.ts';
import { withDeadline } from '../lib/deadline.ts';
import { SerialQueue } from '../lib/serial-queue.ts';
import { RetryLater } from '../lib/retry-later.ts';
import { type PersistedDue, persistedDueSchema } from './persisted-due.ts';
import { type Receipt, receiptSchema } from '../receipt/receipt.ts';

const callSchema = z.object({ key: z.string(), digest: z.string() });

const entrySchema = z.object({
  receipt: receiptSchema,
  /** What the engine needs to release the hold; `null` until the hold is in place. */
  engine: z.record(z.string(), z.json()).nullable(),
  /** Whether the caller gave the id. */
  named: z.boolean().default(false),
  /** The call that started it, where it carried an idempotency key. */
  call: callSchema.optional(),
});
export type JournalEntry = z.infer<typeof entrySchema>;

const keptSchema = z.object({
  receipt: receiptSchema,
  /** The calls that started and ended it, where they carried an idempotency key. */
  freeze: callSchema.optional(),
  thaw: callSchema.optional(),
});
/** A freeze that has ended. */
export type Kept = z.infer<typeof keptSchema>;

const keptFileSchema = z.object({
  kept: z.array(keptSchema),
  due: z.array(persistedDueSchema),
});
/** The format of earlier versions. */
const receiptsSchema = z.array(receiptSchema);

const KEPT_RECEIPTS = 10;
/** Larger than most entries: twice the receipt of a freeze without sampled keys. */
const ROOM_BYTES = 8_192;
const FILE = { mode: 0o600 } as const;
/** How long the end of a freeze waits for the disk: a disk that hangs may never answer. */
const ANSWER_WITHIN_MS = 3_000;

/**
 * The state that survives the sidecar's process: the open freeze, and the receipts of the last ten that
 * ended. Each write is atomic, and durable before it resolves.
 */
export class Journal {
  readonly #dir: string;
  #kept: readonly Kept[] = [];
  #due: readonly PersistedDue[] = [];
  #unreadable = false;
  readonly #queue = new SerialQueue();
  readonly #retry = new RetryLater();
  #probing: Promise<void> | undefined;
  #room: ReservedFile | undefined;

  constructor(stateDir: string) {
    this.#dir = stateDir;
  }

  /** Receipts of ended freezes, newest first, at most ten. */
  get receipts(): readonly Receipt[] {
    return this.#kept.map(({ receipt }) => receipt);
  }

  /** Ended freezes, newest first, at most ten. */
  get kept(): readonly Kept[] {
    return this.#kept;
  }

  /** The thaws that were expected when the journal was last written. */
  get due(): readonly PersistedDue[] {
    return this.#due;
  }

  /**
   * Reads the journal of an earlier process.
   *
   * @returns the freeze that was open; `null` where there is none; `'unreadable'` where the entry cannot
   *   be read (it is renamed): then the caller must release whatever may be held
   */
  async load(): Promise<JournalEntry | 'unreadable' | null> {
    await sweepTemporary(this.#dir);
    await this.#adopt(await this.#read('receipts.json'));
    const raw = await this.#read('open.json');
    if (raw === null) return null;
    const entry = entrySchema.safeParse(raw);
    if (entry.success) return entry.data;
    await this.#setAside('open');
    return 'unreadable';
  }

  /** Whether the record of ended freezes could not be read. It was renamed to `receipts.unreadable.json`. */
  get unreadable(): boolean {
    return this.#unreadable;
  }

  async #adopt(raw: unknown): Promise<void> {
    if (raw === null) return;
    const now = keptFileSchema.safeParse(raw);
    const before = receiptsSchema.safeParse(raw);
    if (now.success) {
      this.#kept = now.data.kept;
      this.#due = now.data.due;
    } else if (before.success) {
      this.#kept = before.data.map((receipt) => ({ receipt }));
    } else {
      this.#unreadable = true;
      await this.#setAside('receipts');
    }
  }

  async #setAside(name: 'open' | 'receipts'): Promise<void> {
    const aside = this.#path(`${name}.unreadable.json`);
    await rename(this.#path(`${name}.json`), aside).catch(() => undefined);
  }

  /**
   * Records the open freeze for the next process.
   *
   * @throws QuiesceError JOURNAL_FAILED
   */
  async open(entry: JournalEntry): Promise<void> {
    await this.#queue.run(() => this.#open(entry));
  }

  async #open(entry: JournalEntry): Promise<void> {
    await this.#retry.finish();
    await this.#record(async () => {
      await makeFolder(this.#dir, 0o700);
      await writeDurably(this.#path('open.json'), JSON.stringify(entry), FILE);
    });
  }

  /**
   * Reserves space for the entry that `held` writes while writers may wait.
   *
   * @throws QuiesceError JOURNAL_FAILED
   */
  async reserve(): Promise<void> {
    await this.#queue.run(async () => {
      await this.#unreserve();
      await this.#record(async () => {
        this.#room = await reserveDurably(this.#path('open.json'), ROOM_BYTES, FILE);
      });
    });
  }

  /** As `open`, but quicker where space was reserved. Uses up the reserved space. */
  async held(entry: JournalEntry): Promise<void> {
    await this.#queue.run(async () => {
      const room = this.#room;
      this.#room = undefined;
      if (room === undefined) return await this.#open(entry);
      await this.#record(() => room.fill(JSON.stringify(entry)));
    });
  }

  async #record(write: () => Promise<void>): Promise<void> {
    try {
      await write();
    } catch (error) {
      throw new QuiesceError(
        'JOURNAL_FAILED',
        `The journal cannot be written to ${this.#dir}: ${describeErrno(error)}. Nothing was frozen.`,
        { cause: error },
      );
    }
  }

  async #unreserve(): Promise<void> {
    const room = this.#room;
    this.#room = undefined;
    await room?.discard();
  }

  /**
   * Records the final receipt, then removes the entry of the open freeze. Rejects when the disk refuses
   * either or does not answer; it then keeps retrying until it succeeds or the next freeze is opened.
   */
  async conclude(one: Kept, due: readonly PersistedDue[]): Promise<void> {
    const others = this.#kept.filter(({ receipt }) => receipt.id !== one.receipt.id);
    this.#kept = [one, ...others].slice(0, KEPT_RECEIPTS);
    this.#due = due;
    const concluding = this.#queue.run(async () => {
      await this.#unreserve();
      await this.#retry.finish();
      try {
        await this.#close();
      } catch (error) {
        this.#retry.schedule(() => this.#close());
        throw error;
      }
    });
    await withDeadline(ANSWER_WITHIN_MS, concluding);
  }

  /** Records the expected thaws. Rejects when the disk refuses the write or does not answer. */
  async recordDue(due: readonly PersistedDue[]): Promise<void> {
    this.#due = due;
    await withDeadline(
      ANSWER_WITHIN_MS,
      this.#queue.run(() => this.#writeKept()),
    );
  }

  async #close(): Promise<void> {
    await this.#writeKept();
    await removeDurably(this.#path('open.json'));
  }

  async #writeKept(): Promise<void> {
    const content: z.infer<typeof keptFileSchema> = { kept: [...this.#kept], due: [...this.#due] };
    await writeDurably(this.#path('receipts.json'), JSON.stringify(content), FILE);
  }

  /**
   * Checks that a freeze could be journaled now.
   *
   * @throws QuiesceError JOURNAL_FAILED
   */
  async probe(): Promise<void> {
    this.#probing ??= this.#queue
      .run(async () => {
        await makeFolder(this.#dir, 0o700);
        await writeDurably(this.#path('probe'), 'a freeze must be able to write here\n', FILE);
      })
      .finally(() => {
        this.#probing = undefined;
      });
    try {
      await withDeadline(ANSWER_WITHIN_MS, this.#probing);
    } catch (error) {
      throw new QuiesceError(
        'JOURNAL_FAILED',
        `The state directory ${this.#dir} cannot be written: ${describeErrno(error)}.`,
        { cause: error },
      );
    }
  }

  #path(name: string): string {
    return join(this.#dir, name);
  }

  async #read(name: string): Promise<unknown> {
    try {
      return JSON.parse(await readFile(this.#path(name), 'utf8'));
    } catch (error) {
      if (isMissing(error)) return null;
      return 'unreadable';
    }
  }
}
