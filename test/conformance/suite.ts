import { afterAll, describe } from 'vitest';
import { describeContract } from './contract.ts';
import { describeCopies } from './copies.ts';
import { describeCrossing } from './crossing.ts';
import { describeFaults } from './faults.ts';
import type { Ledger, Subject } from './fixture.ts';
import { describeLease } from './lease.ts';
import { describeOnce } from './once.ts';
import { describeSecrecy } from './secrecy.ts';
import { SharedRig } from './stage.ts';
import { describeVolume } from './volume.ts';

/** Promises have deadlines of their own; this one is for machines that do much else. */
const PATIENCE_MS = 180_000;

/**
 * Every promise of the `Engine` interface, kept or failed by real servers: through the sidecar and the
 * command line where the promise is made to those who use them, and by the interface itself.
 */
export function describeConformance<L extends Ledger>(subjects: readonly Subject<L>[]): void {
  describe.each(subjects.map((subject) => [subject.name, subject] as const))(
    '%s',
    { timeout: PATIENCE_MS },
    (_, subject) => {
      const shared = new SharedRig(subject);
      afterAll(() => shared.close());
      describeContract(subject, shared);
      describeLease(subject, shared);
      describeOnce(shared);
      describeCrossing(shared);
      describeVolume(subject, shared);
      describeFaults(subject, shared);
      describeCopies(subject, shared);
      describeSecrecy(subject, shared);
    },
  );
}
