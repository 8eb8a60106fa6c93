import type { ControlFile } from '../../data-dir/control-file.ts';
import {
  MEMBER_GROUP,
  membersPerPage,
  PAGES_PER_FILE,
  Slru,
  type TransactionStatus,
} from '../../data-dir/slru.ts';
import { isOlder, type RecoveryWindow } from '../../wal/window.ts';

const FIRST_NORMAL_XID = 3;
const LAST_XID = 2 ** 32 - 1;
const FIRST_MULTI = 1;

/**
 * `pg_resetwal -x`, and `pg_upgrade` with it, used to set the oldest transaction two billion before
 * the next. The status of such old ones never existed.
 */
const MADE_UP_AGE = 2_000_000_000;

/**
 * Looks at `pg_xact` and `pg_multixact`. The last checkpoint has synced every page up to its own
 * next numbers. Recovery takes a page that is not there for zeros, without a word.
 *
 * @returns what is wrong, or `null`.
 */
export async function findBrokenLog(
  pgdata: string,
  control: ControlFile,
  window: RecoveryWindow,
  status: TransactionStatus,
): Promise<string | null> {
  return (
    (await findBrokenStatus(control, window, status)) ??
    (await findBrokenMultis(pgdata, control, window)) ??
    (await findBrokenMembers(pgdata, control, window))
  );
}

/** The oldest transaction whose status is still kept, also after WAL is replayed. */
export function oldestKept(control: ControlFile, window: RecoveryWindow): number {
  const { oldestXid } = window;
  return oldestXid !== null && isOlder(control.oldestXid, oldestXid)
    ? oldestXid
    : control.oldestXid;
}

async function findBrokenStatus(
  control: ControlFile,
  window: RecoveryWindow,
  { log, perPage }: TransactionStatus,
): Promise<string | null> {
  const oldest = oldestKept(control, window);
  const { nextXid } = control;
  const newest = nextXid <= FIRST_NORMAL_XID ? LAST_XID : nextXid - 1;
  const first = Math.floor(oldest / perPage);
  const madeUp = (nextXid - oldest) >>> 0 >= MADE_UP_AGE;
  const range = { first, last: Math.floor(newest / perPage), lenient: madeUp };
  const broken = await findGap(log, range, Math.floor(LAST_XID / perPage));
  if (broken !== null) return `${broken}: it has the outcome of transactions`;
  // The transactions of initdb are on the first page until it is removed, and all of them committed.
  const firstPage = control.xidEpoch === 0 && first === 0 ? log.page(0) : undefined;
  if (firstPage === undefined || firstPage.some((byte) => byte !== 0)) return null;
  return `${log.nameOf(0)} begins with zeros: it has lost the outcome of transactions`;
}

async function findBrokenMultis(
  pgdata: string,
  control: ControlFile,
  window: RecoveryWindow,
): Promise<string | null> {
  const { blockSize, nextMulti, oldestMulti } = control;
  const perPage = blockSize / 4;
  const log = new Slru(pgdata, 'pg_multixact/offsets', blockSize);
  // A page is made when its first number is assigned. A server reads the page of the next number.
  const newest = nextMulti % perPage === 0 ? nextMulti - 1 : nextMulti;
  if (newest < FIRST_MULTI) return null;
  const range = {
    first: Math.floor(oldestMulti / perPage),
    last: Math.floor(newest / perPage),
    lenient: true,
  };
  const broken = await findGap(log, range, Math.floor(LAST_XID / perPage));
  if (broken !== null) return broken;
  const made = window.madeMulti?.multi ?? nextMulti;
  const end = isOlder(made, nextMulti) ? made : nextMulti;
  const page = Math.floor((end - 1) / perPage);
  const start = Math.max(page * perPage, oldestMulti <= end ? oldestMulti : 0);
  return findZeros(log, page, (start % perPage) * 4, (end - page * perPage) * 4);
}

/** One entry of zeros is legal: a crash leaves a number that was assigned, but not used. */
const LEAST_ENTRIES = 2;

/**
 * The last page of a log of multixacts, up to the first entry that recovery makes. No entry is 0.
 *
 * @param from of the entries in use, in bytes of the page
 */
function findZeros(log: Slru, page: number, from: number, to: number): string | null {
  if (to - from < LEAST_ENTRIES * 4) return null;
  const bytes = log.page(page)?.subarray(from, to);
  if (bytes === undefined || bytes.some((byte) => byte !== 0)) return null;
  return `${log.nameOf(page)} has zeros at its end: it has lost who locked or changed rows`;
}

async function findBrokenMembers(
  pgdata: string,
  control: ControlFile,
  window: RecoveryWindow,
): Promise<string | null> {
  const { blockSize, nextMultiOffset } = control;
  const perPage = membersPerPage(blockSize);
  const log = new Slru(pgdata, 'pg_multixact/members', blockSize);
  if (nextMultiOffset === 0) return null;
  const newest = nextMultiOffset % perPage === 0 ? nextMultiOffset - 1 : nextMultiOffset;
  const last = Math.floor(newest / perPage);
  // Which is the first depends on entries that may themselves be damaged: only the end is certain.
  const broken = await findGap(log, { first: last, last, lenient: true }, last);
  if (broken !== null) return broken;
  const made = window.madeMulti?.offset ?? nextMultiOffset;
  const end = isOlder(made, nextMultiOffset) ? made : nextMultiOffset;
  const page = Math.floor((end - 1) / perPage);
  // Four members have their flags first, then their transactions. The first offset is never used.
  const groups = Math.floor((end - page * perPage) / MEMBER_GROUP.members);
  return findZeros(log, page, 0, groups * MEMBER_GROUP.bytes);
}

interface Range {
  readonly first: number;
  readonly last: number;
  /** The files at the beginning need not exist. */
  readonly lenient: boolean;
}

/** The first page that is not in the files, as a sentence. Numbers of pages go round. */
async function findGap(log: Slru, range: Range, largest: number): Promise<string | null> {
  const sizes = await log.files();
  const fileOf = (page: number): number => Math.floor(page / PAGES_PER_FILE);
  const [first, last, end] = [range.first, range.last, largest].map(fileOf) as [
    number,
    number,
    number,
  ];
  const count = last >= first ? last - first + 1 : end - first + 1 + last + 1;
  let begun = !range.lenient;
  for (let index = 0; index < count; index += 1) {
    const file = (first + index) % (end + 1);
    const isLast = index === count - 1;
    const size = sizes.get(file);
    begun ||= size !== undefined || isLast;
    if (!begun) continue;
    const name = log.nameOf(file * PAGES_PER_FILE);
    if (size === undefined) return `${name} is missing`;
    const needed = isLast ? (range.last % PAGES_PER_FILE) + 1 : fullSize(file, end, largest);
    if (size < needed) return `${name} is cut short (${size} of ${needed} pages)`;
  }
  return null;
}

function fullSize(file: number, end: number, largest: number): number {
  return file === end ? (largest % PAGES_PER_FILE) + 1 : PAGES_PER_FILE;
}
