import { statfs } from 'node:fs/promises';
import { QuiesceError } from '../../../../errors.ts';

/** Space always left to the server, which stops if WAL finds none. In segments of WAL. */
const RESERVE_SEGMENTS = 8;
/** For inodes, the manifest, and shared extents that writers change. */
const OVERHEAD = 0.02;
const LOOK_EVERY_BYTES = 32 << 20;

export interface SpaceFacts {
  readonly bytes: number;
  readonly reflink: boolean;
  readonly segmentSize: number;
}

/** Watches the free space of the volume while a backup is staged on it. */
export class Space {
  readonly #dataDir: string;
  readonly #reserve: number;
  #sinceLook = 0;

  constructor(dataDir: string, segmentSize: number) {
    this.#dataDir = dataDir;
    this.#reserve = RESERVE_SEGMENTS * segmentSize;
  }

  /** @throws QuiesceError COPY_UNSUPPORTED where the staged backup would not fit. */
  async require({ bytes, reflink }: SpaceFacts): Promise<void> {
    const needed = Math.ceil((reflink ? 0 : bytes) + bytes * OVERHEAD) + 2 * this.#reserve;
    const available = await this.#available();
    if (available >= needed) return;
    const how = reflink ? 'as reflinks' : 'byte by byte, because this file system has no reflinks';
    throw new QuiesceError(
      'COPY_UNSUPPORTED',
      `The volume does not have enough space to stage a backup of ${megabytes(bytes)}: needed ${megabytes(needed)} (${how}), available ${megabytes(available)}.`,
      {
        hint: 'Enlarge the volume, or use CSI snapshots and set QUIESCE_COPY=snapshot.',
        field: 'QUIESCE_COPY',
      },
    );
  }

  /**
   * Counts the bytes written.
   *
   * @throws QuiesceError COPY_UNSUPPORTED when only the server's reserve is left.
   */
  async wrote(bytes: number): Promise<void> {
    this.#sinceLook += bytes;
    if (this.#sinceLook < LOOK_EVERY_BYTES) return;
    this.#sinceLook = 0;
    const available = await this.#available();
    if (available >= this.#reserve) return;
    throw new QuiesceError(
      'COPY_UNSUPPORTED',
      `The volume filled up while a backup was being staged on it: ${megabytes(available)} are left, and the server needs ${megabytes(this.#reserve)} for WAL.`,
      { hint: 'Enlarge the volume.', field: 'QUIESCE_COPY' },
    );
  }

  async #available(): Promise<number> {
    const { bavail, bsize } = await statfs(this.#dataDir);
    return bavail * bsize;
  }
}

export function megabytes(bytes: number): string {
  return `${Math.ceil(bytes / (1 << 20))} MB`;
}
