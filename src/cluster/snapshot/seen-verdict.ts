import { type KubeObject, labelsOf } from '../objects/kube-object.ts';
import { RUN_LABELS } from '../run/names.ts';
import type { RunVerdict } from './document.ts';

export type SeenVerdict = RunVerdict | 'pending';

const RANK: readonly SeenVerdict[] = ['pending', 'failed', 'unproven', 'proven'];

/** An object without a verdict that is known says nothing good. */
export function verdictOf(object: KubeObject): SeenVerdict {
  const label = labelsOf(object)[RUN_LABELS.verdict];
  return RANK.find((one) => one === label) ?? 'failed';
}

export function worstOf(verdicts: readonly SeenVerdict[]): SeenVerdict {
  return RANK.find((one) => verdicts.includes(one)) ?? 'failed';
}
