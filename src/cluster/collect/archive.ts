import { once } from 'node:events';
import { createWriteStream } from 'node:fs';
import { pipeline } from 'node:stream/promises';
import { createGzip } from 'node:zlib';
import { pack } from 'tar-stream';

export interface Entry {
  readonly name: string;
  readonly text: string;
}

const LONGEST_ENTRY = 2 * 1_024 * 1_024;
const LONGEST_ARCHIVE = 32 * 1_024 * 1_024;

/** Entries of bounded length, and the names of those that were cut short or left out. */
export function bounded(entries: readonly Entry[]): {
  readonly entries: readonly Entry[];
  readonly shortened: readonly string[];
} {
  const kept: Entry[] = [];
  const shortened: string[] = [];
  let total = 0;
  for (const { name, text } of entries) {
    const room = Math.min(LONGEST_ENTRY, LONGEST_ARCHIVE - total);
    if (text.length > room) shortened.push(name);
    if (room <= 0) continue;
    const cut = text.length > room ? `${text.slice(0, room)}\n… cut short\n` : text;
    kept.push({ name, text: cut });
    total += cut.length;
  }
  return { entries: kept, shortened };
}

/** Writes a new file that only its owner may read. @throws the error of the file system, `EEXIST` too */
export async function writeArchive(
  path: string,
  root: string,
  entries: readonly Entry[],
): Promise<number> {
  const tar = pack();
  const file = createWriteStream(path, { flags: 'wx', mode: 0o600 });
  await once(file, 'open');
  const writing = pipeline(tar, createGzip(), file);
  for (const { name, text } of entries) tar.entry({ name: `${root}/${name}`, mode: 0o600 }, text);
  tar.finalize();
  await writing;
  return file.bytesWritten;
}
