import { afterAll, describe } from 'vitest';
import { describeContract } from './contract.ts';
import { describeCopies } from './copies.ts';
import { describeCrossing } from './crossing.ts';
import { describeFaults } from './faults.ts';
import type { Ledger, Subject } from './fixture.ts';
import { describeLease } from './lease.ts';
import { describeOnce } from './once.ts';
import { describeSecrecy } from './secrecy.ts';
import { SharedRig } from './rig.ts';
import { describeVolume } from './volume.ts';

/** The suite in two parts of about the same length, for files that run at the same time. */
export type Part = 'holds' | 'failures';

/** Promises have deadlines of their own; this one is for machines that do much else. */
const PATIENCE_MS = 180_000;

/**
 * Every promise of the `Engine` interface, kept or failed by real servers: through the sidecar and the
 * command line where the promise is made to those who use them, and by the interface itself.
 *
 * @param parts all of them, unless a subject's parts are in several files
 */
export function describeConformance<L extends Ledger>(
  subjects: readonly Subject<L>[],
  parts: readonly Part[] = ['holds', 'failures'],
): void {
  describe.each(subjects.map((subject) => [subject.name, subject] as const))(
    '%s',
    { timeout: PATIENCE_MS },
    (_, subject) => {
      const shared = new SharedRig(subject);
      afterAll(() => shared.close());
      if (parts.includes('holds')) {
        describeContract(subject, shared);
        describeLease(subject, shared);
        describeOnce(shared);
        describeCrossing(shared);
        describeVolume(subject, shared);
      }
      if (parts.includes('failures')) {
        describeFaults(subject, shared);
        describeCopies(subject, shared);
        describeSecrecy(subject, shared);
      }
    },
  );
}
