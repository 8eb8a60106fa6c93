import { readFile, stat, statfs } from 'node:fs/promises';
import { join } from 'node:path';
import { QuiesceError } from '../../../errors.ts';
import type { Persistence } from '../receipt.ts';
import { numberOf } from '../connection/replies.ts';
import type { ServerFacts } from '../server.ts';

const MIB = 2 ** 20;
/** Share of the memory that a save may copy while writers wait: few pages change then. */
const COPIED_SHARE = 0.05;
/** Fork copies a page-table entry of 8 bytes for each page of 4 KiB. */
const PAGE_TABLE_SHARE = 8 / 4_096;

/**
 * Checks that there is enough memory to fork for a save.
 *
 * @returns notes, where this cannot be checked.
 * @throws QuiesceError ENGINE_RESOURCES
 */
export async function checkMemory({ info }: ServerFacts): Promise<string[]> {
  const rss = numberOf(info, 'used_memory_rss') ?? 0;
  const machine = await readMachine();
  const total = numberOf(info, 'total_system_memory') ?? 0;
  if (!machine || Math.abs(total - machine.total) > machine.total * 0.01) {
    return [
      'The memory for the fork of a save could not be checked: the server reports the memory of another machine.',
    ];
  }
  const copied = Math.max(rss * COPIED_SHARE, numberOf(info, 'rdb_last_cow_size') ?? 0);
  const needed = Math.round(copied + rss * PAGE_TABLE_SHARE + 16 * MIB);
  const lacks = (what: string, free: number, hint: string): QuiesceError =>
    new QuiesceError(
      'ENGINE_RESOURCES',
      `There is not enough memory to fork for a save: ${what} is ${mib(free)}, and the save may need ${mib(needed)}.`,
      { hint },
    );
  if (machine.available < needed) {
    throw lacks(
      'free memory',
      machine.available,
      'Free memory on this machine, or freeze a replica elsewhere.',
    );
  }
  const left = machine.commitLimit - machine.committed;
  if (machine.overcommit === 2 && left < rss) {
    throw lacks(
      'the memory that may still be committed',
      left,
      'Set vm.overcommit_memory to 1, as the Redis documentation advises.',
    );
  }
  return [];
}

/** @throws QuiesceError ENGINE_RESOURCES where the volume has too little space for what a freeze writes */
export async function checkDisk(
  { info }: ServerFacts,
  persistence: Persistence,
  dir: string,
  dbfilename: string,
): Promise<void> {
  const { bavail, bsize } = await statfs(dir);
  const free = bavail * bsize;
  const last = await stat(join(dir, dbfilename)).catch(() => undefined);
  const dataset = numberOf(info, 'used_memory_dataset') ?? numberOf(info, 'used_memory') ?? 0;
  // A save is written next to the file it replaces. Before the first save only an upper bound is known.
  const save = last ? Math.max(last.size * 1.25, Math.min(dataset, last.size * 4)) : dataset;
  const buffered = numberOf(info, 'aof_buffer_length') ?? 0;
  const needed = Math.round(MIB + (persistence === 'rdb' ? save : buffered));
  if (free >= needed) return;
  throw new QuiesceError(
    'ENGINE_RESOURCES',
    `The volume of ${dir} has ${mib(free)} free, but a freeze may write ${mib(needed)} to it.`,
    { hint: 'Free space on the volume, or enlarge it.' },
  );
}

function mib(bytes: number): string {
  return `${(bytes / MIB).toFixed(1)} MiB`;
}

interface Machine {
  readonly total: number;
  readonly available: number;
  readonly commitLimit: number;
  readonly committed: number;
  readonly overcommit: number;
}

async function readMachine(): Promise<Machine | null> {
  try {
    const text = await readFile('/proc/meminfo', 'utf8');
    const field = (name: string): number =>
      Number(new RegExp(`^${name}:\\s+(\\d+) kB`, 'm').exec(text)?.[1] ?? Number.NaN) * 1_024;
    const overcommit = Number(await readFile('/proc/sys/vm/overcommit_memory', 'utf8'));
    const machine = {
      total: field('MemTotal'),
      available: field('MemAvailable'),
      commitLimit: field('CommitLimit'),
      committed: field('Committed_AS'),
      overcommit,
    };
    return Number.isNaN(machine.available) || Number.isNaN(machine.total) ? null : machine;
  } catch {
    return null;
  }
}
