import { appendFile, mkdir, writeFile } from 'node:fs/promises';
import { dirname } from 'node:path';
import { tool } from '../../src/testbed/os.ts';

/** A line that was added to a file on the volume. */
export interface Edit {
  /** The file's path from QUIESCE_DATA_DIR. */
  readonly file: string;
  readonly line: string;
}

/** Creates a configuration file that has been on the disk for long. */
export async function oldFile(path: string, text: string): Promise<void> {
  await mkdir(dirname(path), { recursive: true });
  await writeFile(path, text);
  await tool('sync', path);
}

/** `echo "LINE" >> FILE`: the line is in the page cache only. */
export async function addLine(path: string, line: string): Promise<void> {
  await appendFile(path, `${line}\n`);
}
