import type { FileHandle } from 'node:fs/promises';
import { checkAddressed, checkBlock, checkDescriptor, readRanges } from './blocks.ts';
import type { TableFile } from './metadata.ts';
import { References } from './references.ts';
import { type Range, sizeOf, subtract } from './ranges.ts';
import { Damage, Window } from './window.ts';

/** The blocks that a checkpoint needs, as its own lists name them. */
export interface NeededBlocks {
  readonly ranges: readonly Range[];
  /** `null`: not known. */
  readonly newest: number | null;
  /** The offset of the root; `undefined` where there is none. */
  readonly root: number | undefined;
}

/**
 * Checks a table's file as far as its length does not matter: the first block, the length, the root and
 * the lists of the checkpoint. Each has a checksum in the metadata, so a file of another moment or of
 * another table is found.
 *
 * @returns the blocks that are left to be checked; `null` for a form that this code does not know.
 * @throws Damage
 */
export async function checkFrame(
  file: FileHandle,
  { allocationSize, checkpoints }: TableFile,
): Promise<NeededBlocks | null> {
  if (checkpoints === null) return null;
  const window = new Window(file);
  await checkDescriptor(window, allocationSize);
  const { size } = await file.stat();
  const last = checkpoints.at(-1);
  if (last === undefined) return { ranges: [], newest: null, root: undefined };
  if (size < last.fileSize) throw new Damage(`it has ${size} of at least ${last.fileSize} bytes`);
  const newest = last.writeGeneration;
  const rules = { allocationSize, newest };
  let ranges: Range[] = [];
  try {
    for (const one of checkpoints) {
      const allocated = await readRanges(window, one.allocated, rules);
      ranges = subtract([...ranges, ...allocated], await readRanges(window, one.discarded, rules));
    }
    await readRanges(window, last.available, rules);
  } catch (error) {
    if (error instanceof RangeError) return null;
    throw error;
  }
  if (last.root) await checkAddressed(window, last.root, rules);
  return { ranges, newest, root: last.root?.offset };
}

/**
 * Checks every block of the checkpoint: its length, its checksum, that it was not written later, and that
 * a page names it. What lies between the ranges is free, and no reader of the checkpoint looks at it.
 *
 * @param goOn called with the bytes of each block; `false` ends the check early.
 * @throws Damage
 */
export async function checkBlocks(
  file: FileHandle,
  { ranges, newest, root }: NeededBlocks,
  allocationSize: number,
  goOn: (bytes: number) => boolean,
): Promise<void> {
  const window = new Window(file);
  const rules = { allocationSize, newest };
  const references = new References();
  for (const { offset, size } of ranges.toSorted((a, b) => a.offset - b.offset)) {
    const end = offset + size;
    for (let at = offset; at < end;) {
      const block = await checkBlock(window, at, end - at, rules);
      references.add(block, at);
      at += block.length;
      if (!goOn(block.length)) return;
    }
  }
  const unnamed = references.unnamed(root, rules);
  if (unnamed !== null)
    throw new Damage(`the block at ${unnamed} is not the one that a page names`);
}

export function bytesOf({ ranges }: NeededBlocks): number {
  return sizeOf(ranges);
}
