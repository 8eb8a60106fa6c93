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

/** The tests have deadlines of their own; this one allows for a busy machine. */
const PATIENCE_MS = 180_000;

/**
 * Tests every promise of the `Engine` interface on real servers: promises to users through the sidecar
 * and the command line, the others through the interface itself.
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
