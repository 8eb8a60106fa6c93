import { PackedReader } from './integers.ts';

/** Where a block is in its file, and its checksum. */
export interface BlockAddress {
  readonly offset: number;
  readonly size: number;
  readonly checksum: number;
}

/** A checkpoint as WiredTiger's metadata describes it. `null`: it has no such block. */
export interface Checkpoint {
  readonly root: BlockAddress | null;
  /** The list of the ranges that this checkpoint allocated and that are still in use. */
  readonly allocated: BlockAddress | null;
  /** The list of the ranges of earlier checkpoints that this one no longer uses. */
  readonly discarded: BlockAddress | null;
  readonly available: BlockAddress | null;
  /** The file had at least this length. */
  readonly fileSize: number;
  /** No block of it was written with a larger generation; `null`: not recorded. */
  readonly writeGeneration: number | null;
}

/** A table's file in WiredTiger's metadata. */
export interface TableFile {
  readonly name: string;
  readonly allocationSize: number;
  /** The oldest first. `null`: written in a form that this code does not know. */
  readonly checkpoints: readonly Checkpoint[] | null;
}

/** The version of a checkpoint's address (source: block_ckpt.c). */
const ADDRESS_VERSION = 1;
/** Reads pairs of lines: a name, then its configuration. Names other than `file:…` describe no file. */
export function readMetadata(text: string): TableFile[] {
  const lines = text.split('\n');
  const files: TableFile[] = [];
  for (const [index, line] of lines.entries()) {
    if (!line.startsWith('file:')) continue;
    files.push(tableFile(line.slice('file:'.length).trim(), lines[index + 1] ?? ''));
  }
  return files;
}

function tableFile(name: string, config: string): TableFile {
  const size = /(?:^|,)allocation_size=(\d+)(B|KB|MB)?(?:,|$)/.exec(config);
  const unit = { B: 1, KB: 1_024, MB: 1_048_576 }[size?.[2] ?? 'B'] ?? 1;
  const allocationSize = Number(size?.[1] ?? 0) * unit;
  return {
    name,
    allocationSize,
    checkpoints: allocationSize > 0 ? checkpointsIn(config, allocationSize) : null,
  };
}

/** An empty list is written as `checkpoint=` or `checkpoint=()`: nothing was ever written to the table. */
function checkpointsIn(config: string, allocationSize: number): Checkpoint[] | null {
  if (/(?:^|,)checkpoint=(?:,|\(\)|$)/.test(config)) return [];
  const found: (Checkpoint & { readonly order: number })[] = [];
  for (const [, body = ''] of config.matchAll(/WiredTigerCheckpoint\.\d+=\(([^()]*)\)/g)) {
    const address = /addr="([0-9a-f]*)"/.exec(body)?.[1];
    const generation = /write_gen=(\d+)/.exec(body)?.[1];
    if (address === undefined) return null;
    try {
      found.push({
        ...unpack(Buffer.from(address, 'hex'), allocationSize),
        order: Number(/order=(\d+)/.exec(body)?.[1] ?? 0),
        writeGeneration: generation === undefined ? null : Number(generation),
      });
    } catch {
      return null;
    }
  }
  return found.length === 0 ? null : found.toSorted((a, b) => a.order - b.order);
}

type Addresses = Omit<Checkpoint, 'writeGeneration'>;

const EMPTY: Addresses = {
  root: null,
  allocated: null,
  discarded: null,
  available: null,
  fileSize: 0,
};

function unpack(address: Buffer, allocationSize: number): Addresses {
  // A table that never had a page has no address.
  if (address.length === 0) return EMPTY;
  if (address[0] !== ADDRESS_VERSION) throw new RangeError('an unknown version');
  const reader = new PackedReader(address, 1);
  const block = (): BlockAddress | null => {
    const [offset, size, checksum] = [reader.next(), reader.next(), reader.next()];
    if (size === 0) return null;
    return { offset: (offset + 1) * allocationSize, size: size * allocationSize, checksum };
  };
  const [root, allocated, available, discarded] = [block(), block(), block(), block()];
  return { root, allocated, available, discarded, fileSize: reader.next() };
}
