import { preparedNow } from '../../shared/prepared-copy.ts';
import type { PreparedRecord } from '../receipt.ts';
import type { CopyProof } from './prove-copy.ts';
import type { ReceiptClaims } from './receipt-claims.ts';

/** How the proof shows that the copy contains what the receipt promises. */
export function coverage(claims: ReceiptClaims, proof: CopyProof): PreparedRecord['coveredBy'] {
  if (claims.isStandby) return 'replay';
  return proof.markerFound ? 'marker' : 'checkpoint';
}

/** The record for later runs and for the verification at start. */
export function preparedRecord(claims: ReceiptClaims, proof: CopyProof): PreparedRecord {
  const { walFrom, walEnd } = proof;
  return {
    ...preparedNow(claims.id),
    systemIdentifier: claims.systemIdentifier,
    walFrom,
    walEnd,
    coveredBy: coverage(claims, proof),
  };
}

/** What the person who restores must know about the pages. */
export function notesOnPages({ pages: { looked, total }, zeroPages }: CopyProof): string[] {
  const notes: string[] = [];
  if (looked < total) {
    notes.push(
      `The time for it ended after ${looked} of ${total} pages: damage in the others would not have been seen. To look at all of them, run prepare-restore with --scan full, or set QUIESCE_RESTORE_SCAN=full.`,
    );
  }
  if (zeroPages > 0) {
    notes.push(
      `${zeroPages} pages are zero: a server leaves such pages where it crashed while a table grew, and nothing in the copy shows that these ever had rows.`,
    );
  }
  return notes;
}
