import { createWriteStream, type WriteStream } from 'node:fs';
import { readFile } from 'node:fs/promises';
import { once } from 'node:events';
import type { Acknowledgement } from '../../../src/testbed/latency.ts';
import type { App } from './app.ts';

/** Whose writes a ledger has. */
export interface LedgerHeader {
  readonly engine: App['engine'];
  readonly clients: number;
}

/** One acknowledged write. `at` is when the acknowledgement came, in milliseconds since 1970. */
export interface Entry extends Acknowledgement {
  readonly at: number;
}

/** What the writers of one database got acknowledged, as their file has it. */
export interface Ledger extends LedgerHeader {
  readonly entries: readonly Entry[];
  /** What the writers survived. */
  readonly trouble: readonly string[];
}

/**
 * Appends to the file of a ledger. Its first line is `# ` and the header as JSON. Each further line is an
 * acknowledgement (time, client, number, milliseconds it took), or `! ` and what a writer survived.
 */
export class LedgerFile {
  readonly #stream: WriteStream;

  private constructor(stream: WriteStream) {
    this.#stream = stream;
  }

  /** Makes the file, or goes on with one of the same writers. */
  static async open(path: string, header: LedgerHeader): Promise<LedgerFile> {
    const present = await readFile(path, 'utf8').catch(() => '');
    if (present !== '') {
      const { engine, clients } = parseLedger(present);
      if (engine !== header.engine || clients !== header.clients)
        throw new Error(`${path} is the ledger of ${clients} writers of ${engine}`);
    }
    const stream = createWriteStream(path, { flags: 'a' });
    await once(stream, 'open');
    const { engine, clients } = header;
    if (present === '') stream.write(`# ${JSON.stringify({ engine, clients })}\n`);
    // The end of a line that a killed runner left must not swallow the next one.
    else if (!present.endsWith('\n')) stream.write('\n');
    return new LedgerFile(stream);
  }

  readonly acknowledged = ({ client, seq, tookMs }: Acknowledgement): void => {
    this.#stream.write(`${Date.now()} ${client} ${seq} ${tookMs.toFixed(1)}\n`);
  };

  async close(trouble: readonly string[]): Promise<void> {
    for (const one of trouble) this.#stream.write(`! ${one.replaceAll(/\s+/g, ' ')}\n`);
    this.#stream.end();
    await once(this.#stream, 'close');
  }
}

export async function readLedger(path: string): Promise<Ledger> {
  return parseLedger(await readFile(path, 'utf8'));
}

/** @throws Error if the first line is no header: what follows may be of any database. */
export function parseLedger(text: string): Ledger {
  const [first = '', ...rest] = text.split('\n');
  if (!first.startsWith('# ')) throw new Error('not a ledger: its first line is no header');
  const { engine, clients } = JSON.parse(first.slice(2)) as LedgerHeader;
  const entries: Entry[] = [];
  const trouble: string[] = [];
  for (const line of rest) {
    if (line.startsWith('! ')) trouble.push(line.slice(2));
    const numbers = /^(\d+) (\d+) (\d+) (\d+\.\d)$/.exec(line)?.slice(1).map(Number);
    const [at, client, seq, tookMs] = numbers ?? [];
    if (at === undefined || client === undefined || seq === undefined || tookMs === undefined)
      continue;
    entries.push({ at, client, seq, tookMs });
  }
  return { engine, clients, entries, trouble };
}

/**
 * The last number of each client that was acknowledged before a moment; all smaller ones were, too. Times
 * are whole milliseconds, so an acknowledgement in the same one does not count as before.
 */
export function ackedBefore(ledger: Ledger, moment: Date = new Date(8.64e15)): number[] {
  const upTo = Array.from({ length: ledger.clients }, () => 0);
  for (const { at, client, seq } of ledger.entries) {
    if (at < moment.getTime()) upTo[client] = Math.max(upTo[client] ?? 0, seq);
  }
  return upTo;
}
