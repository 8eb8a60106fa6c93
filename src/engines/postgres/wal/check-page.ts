import type { PageHeader } from './format.ts';
import { EndOfWal, printLsn, type WalLocation } from './segments.ts';

/**
 * The timelines that a page may have: none older than the page before, none newer than its file.
 */
export interface TimelineBounds {
  readonly atLeast: number;
  readonly atMost: number;
}

/** @throws EndOfWal unless the header is the right one for that page of this WAL. */
export function checkPage(
  page: PageHeader,
  pageStart: number,
  location: WalLocation,
  bounds: TimelineBounds,
): void {
  const { magic, segmentSize, blockSize, systemIdentifier, spans } = location;
  const at = `the page at ${printLsn(pageStart)}`;
  if (page.magic === 0) throw new EndOfWal(`${at} was never written`);
  if (page.magic !== magic) throw new EndOfWal(`${at} is not WAL of this server version`);
  if (page.address !== pageStart) {
    throw new EndOfWal(`${at} has the address ${printLsn(page.address)} (a recycled segment)`);
  }
  const known = spans.some(({ timeline }) => timeline === page.timeline);
  if (!known || page.timeline < bounds.atLeast || page.timeline > bounds.atMost) {
    throw new EndOfWal(`${at} has timeline ${page.timeline}, which does not belong here`);
  }
  if ((pageStart % segmentSize === 0) !== (page.long !== null)) {
    throw new EndOfWal(`${at} has the wrong kind of header`);
  }
  if (page.long === null) return;
  if (page.long.systemIdentifier !== systemIdentifier) {
    throw new EndOfWal(`${at} belongs to system ${page.long.systemIdentifier}`);
  }
  if (page.long.segmentSize !== segmentSize || page.long.blockSize !== blockSize) {
    throw new EndOfWal(`${at} has another segment or block size`);
  }
}
