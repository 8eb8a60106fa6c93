import { closeSync, openSync, readSync } from 'node:fs';
import { readdir, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { isErrno } from '../../../lib/durable-files.ts';

/** Pages in one file of `pg_xact` and `pg_multixact` (slru.h, SLRU_PAGES_PER_SEGMENT). */
export const PAGES_PER_FILE = 32;
const CACHED_FILES = 32;

/** A log of fixed-size entries in numbered files, such as `pg_xact`. */
export class Slru {
  /** Relative to PGDATA. */
  readonly folder: string;
  readonly #pgdata: string;
  readonly #pageSize: number;
  readonly #cache = new Map<number, Buffer>();

  constructor(pgdata: string, folder: string, pageSize: number) {
    this.#pgdata = pgdata;
    this.folder = folder;
    this.#pageSize = pageSize;
  }

  nameOf(page: number): string {
    const file = Math.floor(page / PAGES_PER_FILE);
    return `${this.folder}/${file.toString(16).toUpperCase().padStart(4, '0')}`;
  }

  /** The file's size in whole pages, by file number. */
  async files(): Promise<Map<number, number>> {
    const sizes = new Map<number, number>();
    for (const name of await readdir(join(this.#pgdata, this.folder))) {
      if (!/^[0-9A-F]{4,15}$/.test(name)) continue;
      const { size } = await stat(join(this.#pgdata, this.folder, name));
      sizes.set(Number.parseInt(name, 16), Math.floor(size / this.#pageSize));
    }
    return sizes;
  }

  /**
   * The bytes of a page; `undefined` where the files have none. Synchronous, since a scan asks for
   * it row by row; a file has 256 kB and stays in memory.
   */
  page(page: number): Buffer | undefined {
    const bytes = this.#file(page);
    const at = (page % PAGES_PER_FILE) * this.#pageSize;
    const end = at + this.#pageSize;
    return end <= bytes.length ? bytes.subarray(at, end) : undefined;
  }

  #file(page: number): Buffer {
    const file = Math.floor(page / PAGES_PER_FILE);
    const cached = this.#cache.get(file);
    if (cached !== undefined) return cached;
    const bytes = readWhole(join(this.#pgdata, this.nameOf(page)), PAGES_PER_FILE * this.#pageSize);
    if (this.#cache.size >= CACHED_FILES) {
      const [oldest] = this.#cache.keys();
      if (oldest !== undefined) this.#cache.delete(oldest);
    }
    this.#cache.set(file, bytes);
    return bytes;
  }
}

function readWhole(path: string, limit: number): Buffer {
  let file: number;
  try {
    file = openSync(path, 'r');
  } catch (error) {
    if (isErrno(error, 'ENOENT')) return Buffer.alloc(0);
    throw error;
  }
  try {
    const bytes = Buffer.alloc(limit);
    let length = 0;
    for (let got = -1; got !== 0 && length < limit; length += got) {
      got = readSync(file, bytes, length, limit - length, length);
    }
    return bytes.subarray(0, length);
  } finally {
    closeSync(file);
  }
}

/** Entries of `pg_multixact/members` have 20 bytes for four members: flags, then transactions (multixact.c). */
export const MEMBER_GROUP = { bytes: 20, members: 4 };

export function membersPerPage(pageSize: number): number {
  return Math.floor(pageSize / MEMBER_GROUP.bytes) * MEMBER_GROUP.members;
}

/** Where in its page the transaction of a member is. */
export function memberAt(offset: number, pageSize: number): number {
  const within = offset % membersPerPage(pageSize);
  const { bytes, members } = MEMBER_GROUP;
  return Math.floor(within / members) * bytes + 4 + (within % members) * 4;
}

const COMMITTED = 1;
const SUB_COMMITTED = 3;

/** Transaction statuses, two bits each (clog.c). */
export class TransactionStatus {
  readonly log: Slru;
  readonly perPage: number;

  constructor(pgdata: string, pageSize: number) {
    this.log = new Slru(pgdata, 'pg_xact', pageSize);
    this.perPage = pageSize * 4;
  }

  /** Whether the log says so; `false` also where it has no such page. */
  committed(xid: number): boolean {
    const page = this.log.page(Math.floor(xid / this.perPage));
    if (page === undefined) return false;
    const within = xid % this.perPage;
    const status = ((page[within >> 2] as number) >> ((within & 3) * 2)) & 3;
    return status === COMMITTED || status === SUB_COMMITTED;
  }
}
