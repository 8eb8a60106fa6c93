import { createHash } from 'node:crypto';
import { chown, readdir } from 'node:fs/promises';
import { join } from 'node:path';
import { QuiesceError } from '../errors.ts';
import {
  describeErrno,
  isErrno,
  isMissing,
  makeFolder,
  ownerLike,
  removeDurably,
  requireSpace,
  type ReservedFile,
  reserveDurably,
  writeDurably,
  type WriteOptions,
} from '../lib/durable-files.ts';
import { readRegular } from '../lib/regular-file.ts';
import { withDeadline } from '../lib/deadline.ts';
import { SerialQueue } from '../lib/serial-queue.ts';
import { RetryLater } from '../lib/retry-later.ts';
import { type Breach, type Receipt, receiptSchema } from './receipt.ts';

/** The folder on the data volume that is part of every copy. */
export const VOLUME_FOLDER = '.quiesce';
export const RECEIPT_FILE = 'receipt.json';
/** Followed by an id: the receipt of a restored copy, and the result of its verification. */
export const RESTORED_PREFIX = 'restored-';
/** What is known about the last restore. `@` is in no id. */
export const RESTORE_STATE_FILE = `${RESTORED_PREFIX}@state.json`;
/** Written by `prepare-restore`: which copy it has proven. */
export const PREPARED_FILE = 'prepared.json';
/** Written by `prepare-restore` until it has proven the copy: of which freeze that is. */
export const COPY_FILE = 'copy.json';
/** An empty file. The sidecar that uses the volume holds a lock on it. */
export const CLAIM_FILE = 'claim';
/** Larger than most receipts without sampled keys. */
const ROOM_BYTES = 8_192;
/** What `attach` must leave free on the volume: nothing that a restore needs may fail for it. */
const LEFT_FREE_BYTES = 16 << 20;
/** How long a release waits for the volume: one that hangs may never answer. */
const ANSWER_WITHIN_MS = 5_000;
/** How long a thaw waits to read the files of its freeze. */
const READ_WITHIN_MS = 2_000;

/** Where the receipt is or will be on the volume, or why it is not there. */
export interface ReceiptPlace {
  readonly onVolume: boolean;
  readonly detail: string;
}

/**
 * `.quiesce/` on the data volume: the files by which a copy shows during which freeze it was cut.
 *
 * Ordering is the evidence: `seal` is the last act of a freeze and `withdraw` the first act of every
 * end, so an atomic copy that holds `receipt.json` was cut while the hold was in place.
 */
export class ReceiptVolume {
  readonly dataDir: string | undefined;
  /** Set while another sidecar uses the volume: then nothing is removed from it. */
  handsOff = false;
  #failure: string | undefined;
  readonly #queue = new SerialQueue();
  readonly #retry = new RetryLater();
  #room: ReservedFile | undefined;
  /** Id of the receipt that this process wrote, while it is on the volume. */
  #sealed: string | undefined;
  /** Digests of the files that this freeze wrote, its receipt included. */
  readonly #digests = new Map<string, string>();
  /** Id of the freeze whose receipt must still be removed; `null`: remove any receipt that is there. */
  #toRemove: { readonly id: string | null } | undefined;

  constructor(dataDir: string | undefined) {
    this.dataDir = dataDir;
  }

  /** Writes the files that a restore must put back. Never rejects: `seal` reports the failure. */
  async keep(files: Readonly<Record<string, string>>): Promise<void> {
    if (this.dataDir === undefined) return;
    await this.#queue.run(async () => {
      try {
        await this.#finishRemoval();
        await this.#folder();
        for (const [name, content] of Object.entries(files)) {
          await this.#write(name, content);
          this.#digests.set(name, digestOf(content));
        }
      } catch (error) {
        this.#failure = describeErrno(error);
      }
    });
  }

  /**
   * Writes a file that no restore needs beside the receipt, readable by the owner of the data only. Rejects
   * with the system's error. Unlike `keep`, a failure takes nothing from what the receipt promises.
   */
  async attach(name: string, content: string): Promise<void> {
    await this.#queue.run(async () => {
      await this.#finishRemoval();
      await this.#folder();
      await requireSpace(this.#path(''), content.length + LEFT_FREE_BYTES);
      await this.#write(name, content, 0o600);
      this.#digests.set(name, digestOf(content));
    });
  }

  /** The text of a file next to the receipt, of at most so many bytes. Rejects with the system's error. */
  async read(name: string, atMost?: number): Promise<string> {
    return await this.#queue.run(() => readRegular(this.#path(name), atMost));
  }

  /** Where the receipt will be. The receipt itself states it, so this is known before it is written. */
  place(): ReceiptPlace {
    if (this.dataDir === undefined) {
      return {
        onVolume: false,
        detail: 'No data volume is mounted (QUIESCE_DATA_DIR is not set).',
      };
    }
    if (this.#failure !== undefined) return { onVolume: false, detail: notWritten(this.#failure) };
    return { onVolume: true, detail: `${VOLUME_FOLDER}/${RECEIPT_FILE}` };
  }

  /**
   * Reserves space for the receipt before anything is held. Writing it is then quick while writers wait,
   * and it fits on a volume that fills up in the meantime. A failure does not stop a freeze: `seal`
   * reports it.
   *
   * @throws QuiesceError COPY_UNSUPPORTED where another freeze's receipt is there and cannot be removed
   */
  async reserve(): Promise<void> {
    await this.#queue.run(async () => {
      if (!this.place().onVolume) return;
      try {
        await this.#finishRemoval();
        await this.#folder();
        this.#room = await reserveDurably(
          this.#path(RECEIPT_FILE),
          ROOM_BYTES,
          await this.#writeOptions(),
        );
      } catch (error) {
        await this.#fail(error);
      }
    });
  }

  /**
   * Writes `receipt.json` durably. A failure does not stop a freeze: the result says why it is not there.
   *
   * @param signal once it has aborted, no receipt is written
   * @throws QuiesceError COPY_UNSUPPORTED where another freeze's receipt is there and cannot be removed
   */
  async seal(receipt: Receipt, signal?: AbortSignal): Promise<ReceiptPlace> {
    return await this.#queue.run(async () => {
      const place = this.place();
      const room = this.#room;
      this.#room = undefined;
      if (!place.onVolume) return place;
      const text = `${JSON.stringify(receipt, null, 2)}\n`;
      try {
        signal?.throwIfAborted();
        // Left by an earlier restore, it would prove the copy of this freeze if both have one id.
        await removeDurably(this.#path(PREPARED_FILE));
        if (room) await room.fill(text, signal);
        else await this.#writeNew(RECEIPT_FILE, text);
        this.#sealed = receipt.id;
        this.#digests.set(RECEIPT_FILE, digestOf(text));
        return place;
      } catch (error) {
        await this.#fail(error, receipt.id);
        return this.place();
      }
    });
  }

  /** @throws QuiesceError where a copy would carry another freeze's receipt, which is worse than none */
  async #fail(error: unknown, id?: string): Promise<void> {
    this.#failure = describeErrno(error);
    const path = this.#path(RECEIPT_FILE);
    const there = await this.#receipt();
    const other = there === 'unreadable' ? this.#toRemove !== undefined : there && there.id !== id;
    if (!other) return;
    throw new QuiesceError(
      'COPY_UNSUPPORTED',
      `${path} belongs to another freeze and can be neither replaced nor removed: ${this.#failure}. A copy would carry it as its proof.`,
      { hint: 'Make the volume writable for the sidecar, or remove that file.' },
    );
  }

  /**
   * Checks that the files of the freeze are still on the volume as they were written: a copy may lack
   * what was removed since. Call it before `withdraw`.
   *
   * @returns `evidence-lost` where a file is missing or changed, `not-provable` where they cannot be
   *   read within two seconds; empty where all are unchanged
   */
  async inspect(): Promise<readonly Breach[]> {
    const folder = this.#path('');
    try {
      const looking = this.#queue.run(() => this.#changed());
      const changed = await withDeadline(READ_WITHIN_MS, looking);
      if (changed.length === 0) return [];
      const note = `Files of the freeze in ${folder} were removed or changed during the hold (${changed.join(', ')}): a copy may lack its proof.`;
      return [{ code: 'evidence-lost', note }];
    } catch (error) {
      const note = `It is not known whether the copy carries its proof: ${folder} cannot be read: ${describeErrno(error)}.`;
      return [{ code: 'not-provable', note }];
    }
  }

  async #changed(): Promise<string[]> {
    const changed: string[] = [];
    for (const [name, digest] of this.#digests) {
      if ((await this.#digest(name)) !== digest) changed.push(name);
    }
    return changed;
  }

  async #digest(name: string): Promise<string | null> {
    try {
      return digestOf(await readRegular(this.#path(name)));
    } catch (error) {
      // A folder, a dangling link or a socket has replaced the file.
      const replaced = ['ELOOP', 'EFTYPE', 'ENXIO'].some((code) => isErrno(error, code));
      if (replaced || isMissing(error)) return null;
      throw error;
    }
  }

  /** `withdraw`, then `tidy`. */
  async clear(id: string | null): Promise<string | null> {
    const leftover = await this.withdraw(id);
    await this.tidy();
    return leftover;
  }

  /**
   * Removes `receipt.json` durably, but not one of another freeze. Writers may be waiting, so this waits
   * only five seconds for a volume that hangs.
   *
   * @param id of the freeze that ends; `null`: any receipt is removed
   * @returns why the receipt may still be there; `null`: it is gone. Copies made before it is removed
   *   would carry it, so the removal is retried until it succeeds.
   */
  async withdraw(id: string | null): Promise<string | null> {
    if (this.dataDir === undefined || this.handsOff) return null;
    const withdrawing = this.#queue.run(async () => {
      this.#failure = undefined;
      this.#digests.clear();
      await this.#finishRemoval();
      this.#toRemove = { id };
      await this.#finishRemoval();
    });
    try {
      await withDeadline(ANSWER_WITHIN_MS, withdrawing);
      return null;
    } catch (error) {
      return `${this.#path(RECEIPT_FILE)} could not be removed: ${describeErrno(error)}.`;
    }
  }

  /** Await this before writing anything. Rejects where the receipt of an ended freeze is still there. */
  async #finishRemoval(): Promise<void> {
    await this.#retry.finish();
    try {
      await this.#remove();
    } catch (error) {
      this.#retry.schedule(async () => {
        await this.#remove();
        await this.#removeOthers();
      });
      throw error;
    }
  }

  async #remove(): Promise<void> {
    if (this.#toRemove === undefined) return;
    if (!(await this.#isForeign(this.#toRemove.id))) {
      await removeDurably(this.#path(RECEIPT_FILE));
      this.#sealed = undefined;
    }
    this.#toRemove = undefined;
  }

  async #isForeign(id: string | null): Promise<boolean> {
    if (id === null || id === this.#sealed) return false;
    const there = await this.#receipt();
    return there !== null && there !== 'unreadable' && there.id !== id;
  }

  /**
   * Once the receipt is gone, removes the other files here, except the results of verified restores
   * (`restored-ID.json`) and the claim file. Failed removals are retried.
   */
  async tidy(): Promise<void> {
    const tidying = this.#queue.run(async () => {
      await this.#room?.discard();
      this.#room = undefined;
      if (this.dataDir === undefined || this.handsOff || (await this.#receipt()) !== null) return;
      try {
        await this.#removeOthers();
      } catch {
        this.#retry.schedule(() => this.#removeOthers());
      }
    });
    await withDeadline(ANSWER_WITHIN_MS, tidying).catch(() => undefined);
  }

  async #removeOthers(): Promise<void> {
    for (const name of await this.#list()) {
      if (!name.startsWith(RESTORED_PREFIX) && name !== CLAIM_FILE)
        await removeDurably(this.#path(name));
    }
  }

  /** The receipt on the volume; `'unreadable'` where there is one that cannot be read. */
  async receipt(): Promise<Receipt | 'unreadable' | null> {
    return await this.#queue.run(() => this.#receipt());
  }

  async #receipt(): Promise<Receipt | 'unreadable' | null> {
    if (this.dataDir === undefined) return null;
    try {
      const parsed = receiptSchema.safeParse(
        JSON.parse(await readRegular(this.#path(RECEIPT_FILE))),
      );
      return parsed.success ? parsed.data : 'unreadable';
    } catch (error) {
      return isMissing(error) ? null : 'unreadable';
    }
  }

  /** The names of the files in `.quiesce/`; empty where there is none. */
  async names(): Promise<readonly string[]> {
    return await this.#queue.run(() => this.#list());
  }

  /** Writes a file next to the receipt. Rejects with the system's error. */
  async write(name: string, content: string, mode?: number): Promise<void> {
    await this.#queue.run(() => this.#writeNew(name, content, mode));
  }

  async #writeNew(name: string, content: string, mode?: number): Promise<void> {
    await this.#folder();
    await this.#write(name, content, mode);
  }

  async #list(): Promise<string[]> {
    const entries = await readdir(this.#path(''), { withFileTypes: true }).catch(() => []);
    return entries.filter((entry) => entry.isFile()).map((entry) => entry.name);
  }

  #path(name: string): string {
    return join(this.dataDir ?? '', VOLUME_FOLDER, name);
  }

  /** Never creates the data directory itself: where it is missing, no volume is mounted. */
  async #folder(): Promise<void> {
    const path = join(this.dataDir ?? '', VOLUME_FOLDER);
    const { owner } = await ownerLike(this.dataDir ?? '');
    const made = await makeFolder(path, 0o755);
    if (made && owner) await chown(path, owner.uid, owner.gid);
  }

  async #write(name: string, content: string, mode?: number): Promise<void> {
    await writeDurably(this.#path(name), content, await this.#writeOptions(mode));
  }

  /** The server's user must be able to read these files, so a sidecar that runs as root gives them to the owner of the data. */
  async #writeOptions(mode = 0o644): Promise<WriteOptions> {
    return { mode, ...(await ownerLike(this.dataDir ?? '')) };
  }
}

function notWritten(why: string): string {
  return `${VOLUME_FOLDER}/${RECEIPT_FILE} could not be written: ${why}. A copy carries no proof of this freeze.`;
}

/** Reserved space ends in blanks, which are not part of the content. */
function digestOf(content: string): string {
  return createHash('sha256').update(content.trimEnd()).digest('base64');
}
