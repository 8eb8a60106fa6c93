import * as fc from 'fast-check';
import { expect, it } from 'vitest';
import { BlockPositions } from '../../../src/engines/postgres/data-dir/block-positions.ts';

const block = fc.oneof(fc.nat(40_000), fc.nat(2 ** 32 - 2), fc.constantFrom(8191, 8192, 8193));
const step = fc.oneof(
  fc.record({ set: block, value: fc.integer({ min: 1, max: 2 ** 32 - 1 }) }),
  fc.record({ fill: fc.nat(20_000), value: fc.integer({ min: 1, max: 2 ** 32 - 1 }) }),
  fc.record({ cut: block }),
);

it('the positions of blocks are those of a plain map, however many there are', () => {
  fc.assert(
    fc.property(fc.array(step, { maxLength: 12 }), block, block, (steps, start, end) => {
      const own = new BlockPositions();
      const plain = new Map<number, number>();
      for (const one of steps) {
        if ('set' in one) {
          own.set(one.set, one.value);
          plain.set(one.set, one.value);
        } else if ('fill' in one) {
          for (let at = one.fill; at < one.fill + 1_500; at += 1) {
            own.set(at, one.value);
            plain.set(at, one.value);
          }
        } else {
          own.cut(one.cut);
          for (const at of plain.keys()) if (at >= one.cut) plain.delete(at);
        }
      }
      const sorted = [...plain.keys()].sort((a, b) => a - b);
      expect([...own.between(0, Infinity)]).toEqual(sorted);
      expect([...own.between(start, end)]).toEqual(sorted.filter((at) => at >= start && at < end));
      for (const [at, value] of plain) expect(own.get(at)).toBe(value);
      expect(own.get(50_001 + 8192 * 100)).toBe(plain.get(50_001 + 8192 * 100) ?? 0);
    }),
    { numRuns: 60 },
  );
});
