import type { FileHandle } from 'node:fs/promises';

const WINDOW_BYTES = 1_048_576;

/** Something that an intact copy cannot contain. The message completes the sentence "The file is damaged: …". */
export class Damage extends Error {}

/** Reads a file in large pieces, for a caller that goes through it from one end to the other. */
export class Window {
  readonly #file: FileHandle;
  #bytes = Buffer.alloc(0);
  #start = 0;

  constructor(file: FileHandle) {
    this.#file = file;
  }

  /** @throws Damage where the file ends before. */
  async read(offset: number, length: number): Promise<Buffer> {
    const within = offset - this.#start;
    if (within < 0 || within + length > this.#bytes.length) await this.#fill(offset, length);
    const from = offset - this.#start;
    if (this.#bytes.length - from < length) {
      throw new Damage(`it ends within the ${length} bytes at ${offset}`);
    }
    return this.#bytes.subarray(from, from + length);
  }

  async #fill(offset: number, length: number): Promise<void> {
    const bytes = Buffer.allocUnsafe(Math.max(length, WINDOW_BYTES));
    let filled = 0;
    while (filled < bytes.length) {
      const { bytesRead } = await this.#file.read(
        bytes,
        filled,
        bytes.length - filled,
        offset + filled,
      );
      if (bytesRead === 0) break;
      filled += bytesRead;
    }
    this.#bytes = bytes.subarray(0, filled);
    this.#start = offset;
  }
}
