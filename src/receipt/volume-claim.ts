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

/** A volume that hangs must not hold up a freeze for this: the freeze itself will say so. */
const ANSWER_WITHIN_MS = 2_000;
/** What lies in a volume on which no server was ever started. */
const EMPTY: readonly string[] = ['lost+found', VOLUME_FOLDER];

/**
 * One sidecar a volume: two would take each other's receipts for those of a restored copy. The claim is a
 * lock on a file in `.quiesce/`, so it ends with its process however that ends, and no copy of the volume
 * carries it. It holds between the pods of one node; across nodes only where the file system's locks do.
 */
export class VolumeClaim {
  readonly #volume: ReceiptVolume;
  readonly #logger: Logger;
  readonly #queue = new SerialQueue();
  #file: FileHandle | undefined;
  /** A look under way: on a volume that hangs there is never a second one. */
  #looking: Promise<void> | undefined;
  #inUse = false;
  #warned = false;
  #onOurs: (() => void) | undefined;

  constructor(volume: ReceiptVolume, logger: Logger) {
    this.#volume = volume;
    this.#logger = logger;
  }

  /** Another living sidecar uses the volume, by the last look. */
  get inUse(): boolean {
    return this.#inUse;
  }

  /** Called once, as soon as nobody else uses the volume: perhaps before this returns. */
  async whenOurs(work: () => Promise<void>): Promise<void> {
    await this.look();
    if (!this.#inUse) return await work();
    this.#logger.warn({ dataDir: this.#volume.dataDir }, 'another sidecar uses the volume');
    this.#onOurs = () => {
      this.#logger.info({ dataDir: this.#volume.dataDir }, 'the volume is ours now');
      void work();
    };
  }

  /**
   * @param freezing a freeze is about to write to the volume: it is claimed though it looks unused.
   * @throws QuiesceError VOLUME_IN_USE
   */
  async require(freezing = false): Promise<void> {
    await this.look(freezing);
    if (!this.#inUse) return;
    throw new QuiesceError(
      'VOLUME_IN_USE',
      `Another living sidecar uses ${this.#volume.dataDir}; this one touches nothing there.`,
    );
  }

  /** Claims the volume, if nobody else has. Never rejects. */
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
    // initdb refuses a folder in which anything lies.
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

/** The file that is open is still the one under its name. */
async function isSame(file: FileHandle, path: string): Promise<boolean> {
  const [ours, there] = await Promise.all([file.stat(), stat(path).catch(() => undefined)]);
  return ours.ino === there?.ino && ours.dev === there.dev;
}

/** No data lies there yet, nor anything of ours. */
async function isUnused(dataDir: string): Promise<boolean> {
  const names = await readdir(dataDir).catch((): string[] => []);
  if (names.some((name) => !EMPTY.includes(name))) return false;
  return !names.includes(VOLUME_FOLDER);
}
