import { afterAll, describe } from 'vitest';
import { describeContract } from './contract.ts';
import { describeCopies } from './copies.ts';
import { describeCrossing } from './crossing.ts';
import { describeFaults } from './faults.ts';
import type { Ledger, Subject } from './fixture.ts';
import { describeLease } from './lease.ts';
import { describeOnce } from './once.ts';
import { describeSeal } from './seal.ts';
import { describeRestores } from './restores.ts';
import { describePowerOff } from './power-off.ts';
import { describeSecrecy } from './secrecy.ts';
import { SharedRig } from './rig.ts';
import { describeVolume } from './volume.ts';

/** The two halves of the suite, of about the same length, for files that run at the same time. */
export type Part = 'holds' | 'failures';

/** The tests have deadlines of their own; this one allows for a busy machine. */
const PATIENCE_MS = 180_000;

/**
 * Tests every promise of the `Engine` interface on real servers: promises to users through the sidecar
 * and the command line, the others through the interface itself.
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
        describeSeal(subject, shared);
        describeRestores(shared);
        describeSecrecy(subject, shared);
        describePowerOff(subject);
      }
    },
  );
}
