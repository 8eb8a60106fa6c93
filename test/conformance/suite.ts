import { describe } from 'vitest';
import type { Ledger, Subject } from './fixture.ts';
import { describeLease } from './lease.ts';

/** Every promise of the `Engine` interface, kept by this server or failed. */
export function describeConformance<L extends Ledger>(subjects: readonly Subject<L>[]): void {
  describe.each(subjects)('$name', (subject) => {
    describeLease(subject);
  });
}
