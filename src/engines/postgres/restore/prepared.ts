import { preparedNow } from '../../shared/prepared-copy.ts';
import type { Prepared } from '../receipt.ts';
import type { CopyProof } from './prove-copy.ts';
import type { CopyPromise } from './receipt-claims.ts';

/** What shows that the promise is in the copy. */
export function coverage(promise: CopyPromise, proof: CopyProof): Prepared['coveredBy'] {
  if (promise.isStandby) return 'replay';
  return proof.markerFound ? 'marker' : 'checkpoint';
}

/** What is left for later runs and for the verification at start. */
export function preparedOf(promise: CopyPromise, proof: CopyProof): Prepared {
  const { walFrom, walEnd } = proof;
  return {
    ...preparedNow(promise.id),
    systemIdentifier: promise.systemIdentifier,
    walFrom,
    walEnd,
    coveredBy: coverage(promise, proof),
  };
}
