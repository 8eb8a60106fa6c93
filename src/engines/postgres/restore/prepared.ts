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
