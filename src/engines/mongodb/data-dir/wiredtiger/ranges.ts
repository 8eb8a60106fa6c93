/** A consecutive range of a file, in bytes. */
export interface Range {
  readonly offset: number;
  readonly size: number;
}

/** What is left of the ranges without those that are removed. */
export function subtract(ranges: readonly Range[], removed: readonly Range[]): Range[] {
  let left = [...ranges];
  for (const { offset, size } of removed) {
    left = left.flatMap((range) => {
      const before = Math.min(range.offset + range.size, offset) - range.offset;
      const after = range.offset + range.size - Math.max(range.offset, offset + size);
      if (before >= range.size || after >= range.size) return [range];
      return [
        ...(before > 0 ? [{ offset: range.offset, size: before }] : []),
        ...(after > 0 ? [{ offset: offset + size, size: after }] : []),
      ];
    });
  }
  return left;
}

export function sizeOf(ranges: readonly Range[]): number {
  return ranges.reduce((sum, { size }) => sum + size, 0);
}
