/** A position in the WAL, as PostgreSQL prints it (`3/5000028`), parsed to bytes since the beginning. */
export function parseLsn(text: string): bigint {
  const match = /^([0-9A-Fa-f]{1,8})\/([0-9A-Fa-f]{1,8})$/.exec(text);
  if (!match) throw new Error(`not an LSN: ${text}`);
  return (BigInt(`0x${match[1]}`) << 32n) | BigInt(`0x${match[2]}`);
}

/** Prints a position as `%X/%X`, as PostgreSQL 13–18 do. */
export function formatLsn(lsn: bigint): string {
  return `${(lsn >> 32n).toString(16)}/${(lsn & 0xffffffffn).toString(16)}`.toUpperCase();
}

/**
 * The name of the WAL segment file that holds the byte at `lsn`. Computed here because
 * `pg_walfile_name()` fails in recovery.
 *
 * @param segmentSize bytes, `wal_segment_size`.
 */
export function walFileName(timeline: number, lsn: bigint, segmentSize: number): string {
  return segmentFileName(timeline, lsn / BigInt(segmentSize), segmentSize);
}

/** The file name of the segment with this number, counted from the beginning of the WAL. */
export function segmentFileName(timeline: number, segment: bigint, segmentSize: number): string {
  const perId = 0x1_0000_0000n / BigInt(segmentSize);
  return [BigInt(timeline), segment / perId, segment % perId]
    .map((part) => part.toString(16).toUpperCase().padStart(8, '0'))
    .join('');
}
