/** A complete HTTP answer. */
export interface Response {
  readonly status: number;
  readonly text: string;
}

/** The bytes received are not one well-formed answer. */
export class Garbled extends Error {}

/** The connection ended before the answer was complete. */
export class CutShort extends Error {}

/** In bytes, for the status line and header fields together. A sidecar sends about 200. */
const HEAD_LIMIT = 64 * 1_024;
const BODY_LIMIT = 64 * 1_024 * 1_024;

const LENGTH = /^\d{1,15}$/;
const CHUNK_SIZE = /^([0-9A-Fa-f]{1,8})[ \t]*(?:;[\t\u0020-\u00FF]*)?$/;

type Step = 'status' | 'fields' | 'counted' | 'size' | 'chunk' | 'after-chunk' | 'trailer' | 'open';

/**
 * Reads one HTTP/1.1 answer from the pieces in which it arrives, wherever they are cut. The reader is
 * strict: an answer that can be read in two ways must not become a success. Node's own HTTP client is
 * not used because loading it would take a third of a hook's start-up time.
 */
export class ResponseReader {
  #step: Step | 'done' = 'status';
  #rest: Buffer = Buffer.alloc(0);
  #headBytes = 0;
  #status = 0;
  readonly #fields = new Map<string, string>();
  /** Bytes of the body, or of the current chunk, that are still to come. */
  #left = 0;
  #bodyBytes = 0;
  readonly #body: Buffer[] = [];

  /**
   * @returns the answer once it is complete, `undefined` before
   * @throws Garbled
   */
  push(piece: Buffer): Response | undefined {
    this.#rest = this.#rest.length === 0 ? piece : Buffer.concat([this.#rest, piece]);
    while (this.#advance());
    return this.#complete();
  }

  /**
   * To be called when the connection has ended.
   *
   * @throws CutShort
   */
  end(): Response {
    if (this.#step === 'open') this.#step = 'done';
    const response = this.#complete();
    if (response) return response;
    throw new CutShort('the connection ended before the answer was complete');
  }

  #complete(): Response | undefined {
    if (this.#step !== 'done') return undefined;
    return { status: this.#status, text: Buffer.concat(this.#body).toString('utf8') };
  }

  /** @returns whether more of the bytes received can be read */
  #advance(): boolean {
    const step = this.#step;
    if (step === 'done') {
      if (this.#rest.length > 0) throw new Garbled('bytes after the answer');
      return false;
    }
    if (step === 'open') {
      this.#keep(this.#rest.length);
      return false;
    }
    if (step === 'counted' || step === 'chunk') return this.#data();
    const line = this.#line();
    if (line === undefined) return false;
    this.#take(step, line);
    return true;
  }

  #take(step: Step, line: string): void {
    if (step === 'status') this.#statusLine(line);
    else if (step === 'fields') this.#field(line);
    else if (step === 'size') this.#chunkSize(line);
    else if (step === 'trailer') this.#trailer(line);
    else if (line === '') this.#step = 'size';
    else throw new Garbled('a chunk is longer than its size');
  }

  #line(): string | undefined {
    const at = this.#rest.indexOf('\r\n');
    const bytes = at < 0 ? this.#rest.length : at + 2;
    if (this.#headBytes + bytes > HEAD_LIMIT)
      throw new Garbled('the head of the answer is too long');
    if (at < 0) return undefined;
    // The lines between chunks do not count towards the limit: a long body has many.
    if (this.#step !== 'size' && this.#step !== 'after-chunk') this.#headBytes += bytes;
    const line = this.#rest.toString('latin1', 0, at);
    this.#rest = this.#rest.subarray(bytes);
    return line;
  }

  #statusLine(line: string): void {
    const status = /^HTTP\/1\.[01] ([1-5]\d\d)(?: .*)?$/.exec(line)?.[1];
    if (status === undefined || status === '101') throw new Garbled('no status line');
    this.#status = Number(status);
    this.#step = 'fields';
  }

  #field(line: string): void {
    if (line === '') {
      this.#beginBody();
      return;
    }
    const key = line.slice(0, nameLength(line)).toLowerCase();
    const twice = this.#fields.has(key);
    if (twice && (key === 'content-length' || key === 'transfer-encoding')) {
      throw new Garbled(`${key} twice`);
    }
    this.#fields.set(key, line.slice(key.length + 1).trim());
  }

  #beginBody(): void {
    const [length, coding] = ['content-length', 'transfer-encoding'].map((name) =>
      this.#fields.get(name),
    );
    this.#fields.clear();
    if (this.#status < 200) {
      // An interim answer. The final one follows, with a head of its own.
      [this.#step, this.#headBytes] = ['status', 0];
    } else if (this.#status === 204 || this.#status === 304) {
      this.#step = 'done';
    } else if (coding !== undefined) {
      if (length !== undefined || coding.toLowerCase() !== 'chunked') {
        throw new Garbled('an unexpected transfer coding');
      }
      this.#step = 'size';
    } else if (length === undefined) {
      this.#step = 'open';
    } else {
      if (!LENGTH.test(length)) throw new Garbled('a malformed content-length');
      this.#expect(Number(length), 'counted');
      if (this.#left === 0) this.#step = 'done';
    }
  }

  #chunkSize(line: string): void {
    const size = CHUNK_SIZE.exec(line)?.[1];
    if (size === undefined) throw new Garbled('a malformed chunk size');
    this.#expect(Number.parseInt(size, 16), 'chunk');
    if (this.#left === 0) this.#step = 'trailer';
  }

  #trailer(line: string): void {
    if (line === '') this.#step = 'done';
    else nameLength(line);
  }

  #expect(bytes: number, step: Step): void {
    if (this.#bodyBytes + bytes > BODY_LIMIT) throw new Garbled('the answer is too long');
    this.#left = bytes;
    this.#step = step;
  }

  #data(): boolean {
    const bytes = Math.min(this.#left, this.#rest.length);
    this.#left -= bytes;
    this.#keep(bytes);
    if (this.#left > 0) return false;
    this.#step = this.#step === 'chunk' ? 'after-chunk' : 'done';
    return true;
  }

  #keep(bytes: number): void {
    this.#bodyBytes += bytes;
    if (this.#bodyBytes > BODY_LIMIT) throw new Garbled('the answer is too long');
    if (bytes > 0) this.#body.push(this.#rest.subarray(0, bytes));
    this.#rest = this.#rest.subarray(bytes);
  }
}

/**
 * The length of a header field's name. Written without a regular expression: V8 compiles one on its
 * second use, which takes longer than this loop.
 *
 * @throws Garbled if the line is not a header field, or continues the line before it
 */
function nameLength(line: string): number {
  const colon = line.indexOf(':');
  let sound = colon > 0;
  for (let at = 0; sound && at < line.length; at += 1) {
    const code = line.charCodeAt(at);
    sound = at < colon ? code > 0x20 && code < 0x7f : (code >= 0x20 && code !== 0x7f) || code === 9;
  }
  if (!sound) throw new Garbled('a malformed header field');
  return colon;
}
