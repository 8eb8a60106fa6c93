const LINE_END = '\r\n';
/** `*3`, `$12` and annotations such as `#TS:1700000000` (source: aof.c) are shorter. */
const LONGEST_LINE = 1_024;

/**
 * Reads the commands of an AOF, piece by piece: `*2`, then for each argument `$5` and five bytes, each
 * ended by a line end. It looks at the frame only: any argument may be zeroes.
 */
export class AofCommands {
  #rest: Buffer = Buffer.alloc(0);
  /** Arguments of the current command that are still to come. */
  #arguments = 0;
  /** Bytes of the current argument that are still to come, without its line end; -1: its length is next. */
  #bytes = -1;
  #at: number;

  /** @param at where the commands begin in their file. */
  constructor(at = 0) {
    this.#at = at;
  }

  /** @returns where the first byte is that no AOF can have; `null`: there is none so far. */
  push(piece: Buffer): number | null {
    const bytes = this.#rest.length === 0 ? piece : Buffer.concat([this.#rest, piece]);
    let at = 0;
    while (at < bytes.length) {
      const next = this.#bytes >= 0 ? this.#data(bytes, at) : this.#line(bytes, at);
      if (next === null) return this.#at + at;
      if (next === at) break;
      at = next;
    }
    this.#at += at;
    this.#rest = bytes.subarray(at);
    return null;
  }

  /** Whether the file may end here: a command is complete. */
  get complete(): boolean {
    return this.#rest.length === 0 && this.#arguments === 0 && this.#bytes < 0;
  }

  /** @returns where to go on; `at` itself: more bytes are needed; `null`: damaged. */
  #data(bytes: Buffer, at: number): number | null {
    const skipped = Math.min(this.#bytes, bytes.length - at);
    if (skipped < this.#bytes) {
      this.#bytes -= skipped;
      return at + skipped;
    }
    const end = at + skipped;
    if (bytes.length - end < LINE_END.length) {
      this.#bytes = 0;
      return end;
    }
    if (bytes.toString('latin1', end, end + 2) !== LINE_END) return null;
    this.#bytes = -1;
    this.#arguments -= 1;
    return end + 2;
  }

  #line(bytes: Buffer, at: number): number | null {
    const end = bytes.indexOf(LINE_END, at, 'latin1');
    if (end < 0 || end - at > LONGEST_LINE) return bytes.length - at > LONGEST_LINE ? null : at;
    const line = bytes.toString('latin1', at, end);
    const form = this.#arguments > 0 ? /^\$(\d{1,15})$/ : /^(?:\*([1-9]\d{0,9})|#.*)$/;
    const number = form.exec(line);
    if (number === null) return null;
    if (this.#arguments > 0) this.#bytes = Number(number[1]);
    else this.#arguments = Number(number[1] ?? 0);
    return end + 2;
  }
}
