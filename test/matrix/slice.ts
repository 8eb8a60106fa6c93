import { expect, it } from 'vitest';
import { CELLS, type ModeName } from './cells.ts';
import { playCell } from './play.ts';

// Versions that the other tests here do not use; `npm run test:matrix` plays every cell on all of them.
const SLICE = CELLS.map((cell, at) => ({ cell, ...cell, major: at % 2 === 0 ? 14 : 18 }));

/** Every cell of one mode, each on one version: a file for each mode, so that they run side by side. */
export function describeCells(mode: ModeName): void {
  it.each(SLICE.filter((one) => one.mode === mode))(
    'PostgreSQL $major, $mode, copy: $copy, $role: backups under load restore whole, spoilt ones are refused',
    async ({ cell, major, orders }) => {
      const restores = Math.max(1, orders.length);
      const { findings, ...result } = await playCell(cell, major, restores);
      expect(findings).toEqual([]);
      expect(result).toMatchObject({ restores: { good: restores, tried: restores } });
      expect(result.negatives.good).toBe(result.negatives.tried);
      expect(result.negatives.tried).toBeGreaterThan(0);
    },
    240_000,
  );
}
