import { constants } from 'node:fs';
import { type FileHandle, open, readdir, stat } from 'node:fs/promises';
import { join } from 'node:path';
import type { Logger } from 'pino';
import { QuiesceError } from '../errors.ts';
import { tryLock } from '../lib/file-lock.ts';
import { isErrno } from '../lib/durable-files.ts';
import { withDeadline } from '../lib/deadline.ts';
import { SerialQueue } from '../lib/serial-queue.ts';
import { CLAIM_FILE, type ReceiptVolume, VOLUME_FOLDER } from './volume.ts';

/** A volume that hangs must not delay a freeze here: the freeze itself reports it later. */
const ANSWER_WITHIN_MS = 2_000;
/** The only entries of a volume on which no server was ever started. */
const EMPTY: readonly string[] = ['lost+found', VOLUME_FOLDER];

/**
 * Allows one sidecar per volume: two would take each other's receipts for those of a restored copy. The
 * claim is a lock on a file in `.quiesce/`. It ends with its process, even one that is killed, and no
 * copy of the volume carries it. It works between the pods of one node; across nodes only where the
 * locks of the file system do.
 */
export class VolumeClaim {
  readonly #volume: ReceiptVolume;
  readonly #logger: Logger;
  readonly #queue = new SerialQueue();
  #file: FileHandle | undefined;
  /** The check in progress. On a volume that hangs there is never a second one. */
  #looking: Promise<void> | undefined;
  #inUse = false;
  #warned = false;
  #onOurs: (() => void) | undefined;

  constructor(volume: ReceiptVolume, logger: Logger) {
    this.#volume = volume;
    this.#logger = logger;
  }

  /** Whether another living sidecar used the volume at the last check. */
  get inUse(): boolean {
    return this.#inUse;
  }

  /** Runs the work once, as soon as no other sidecar uses the volume. That may be before this resolves. */
  async whenOurs(work: () => Promise<void>): Promise<void> {
    await this.look();
    if (!this.#inUse) return await work();
    this.#logger.warn({ dataDir: this.#volume.dataDir }, 'another sidecar uses the volume');
    this.#onOurs = () => {
      this.#logger.info(
        { dataDir: this.#volume.dataDir },
        'this sidecar has taken over the volume',
      );
      void work();
    };
  }

  /**
   * Claims the volume.
   *
   * @param freezing a freeze is about to write to the volume, so it is claimed even if it looks unused
   * @throws QuiesceError VOLUME_IN_USE where another living sidecar has claimed it
   */
  async require(freezing = false): Promise<void> {
    await this.look(freezing);
    if (!this.#inUse) return;
    throw new QuiesceError(
      'VOLUME_IN_USE',
      `Another living sidecar uses ${this.#volume.dataDir}; this one changes nothing there.`,
    );
  }

  /** Claims the volume unless another sidecar has. Never rejects: see `inUse`. */
  async look(freezing = false): Promise<void> {
    const { dataDir } = this.#volume;
    if (dataDir === undefined) return;
    try {
      const looking = (freezing ? undefined : this.#looking) ?? this.#look(dataDir, freezing);
      await withDeadline(ANSWER_WITHIN_MS, looking);
    } catch (error) {
      if (!this.#warned) this.#logger.warn({ dataDir, err: error }, 'the volume cannot be claimed');
      this.#warned = true;
    }
    if (this.#inUse) return;
    this.#onOurs?.();
    this.#onOurs = undefined;
  }

  async close(): Promise<void> {
    const file = this.#file;
    this.#file = undefined;
    await file?.close().catch(() => undefined);
  }

  async #look(dataDir: string, freezing: boolean): Promise<void> {
    const looking = this.#queue.run(() => this.#claim(dataDir, freezing));
    this.#looking = looking;
    try {
      await looking;
    } finally {
      this.#looking = undefined;
    }
  }

  async #claim(dataDir: string, freezing: boolean): Promise<void> {
    const path = join(dataDir, VOLUME_FOLDER, CLAIM_FILE);
    if (this.#file && (await isSame(this.#file, path))) return;
    await this.close();
    // initdb refuses a folder that is not empty.
    if (!freezing && (await isUnused(dataDir))) return;
    const file = await this.#open(path);
    if (file === undefined) return;
    let ours = false;
    try {
      ours = tryLock(file.fd) && (await isSame(file, path));
      this.#inUse = !ours;
      this.#volume.handsOff = this.#inUse;
      if (ours) this.#file = file;
    } finally {
      if (!ours) await file.close();
    }
  }

  async #open(path: string): Promise<FileHandle | undefined> {
    const flags = constants.O_RDWR | constants.O_NOFOLLOW | constants.O_NONBLOCK;
    try {
      return await open(path, flags);
    } catch (error) {
      if (!isErrno(error, 'ENOENT')) throw error;
    }
    await this.#volume.write(CLAIM_FILE, '');
    return await open(path, flags);
  }
}

/** Whether the open file is still the one at its path. */
async function isSame(file: FileHandle, path: string): Promise<boolean> {
  const [ours, there] = await Promise.all([file.stat(), stat(path).catch(() => undefined)]);
  return ours.ino === there?.ino && ours.dev === there.dev;
}

/** Whether the volume has neither data nor files of ours yet. */
async function isUnused(dataDir: string): Promise<boolean> {
  const names = await readdir(dataDir).catch((): string[] => []);
  if (names.some((name) => !EMPTY.includes(name))) return false;
  return !names.includes(VOLUME_FOLDER);
}
