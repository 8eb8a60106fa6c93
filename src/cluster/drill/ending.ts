import { toQuiesceError } from '../../errors.ts';
import { abortedWithin } from '../../lib/deadline.ts';
import type { ObjectApi } from '../api/objects.ts';
import type { RestoreProblem } from '../restore/document.ts';
import { removeDrill } from './remove.ts';

/** The removal goes on for so long when the drill was ended by a signal: then a kubelet kills the pod. */
const REMOVE_AFTER_SIGNAL_MS = 24_000;
const REMOVE_MS = 300_000;

export interface Ending {
  readonly id: string;
  /** The scratch namespaces. */
  readonly names: readonly string[];
  readonly keep: boolean;
  /** The user ended the drill: there is little time. */
  readonly interrupted: boolean;
  readonly progress: (sentence: string) => void;
  readonly say: (sentence: string) => void;
}

/** Never rejects. @returns whether everything is gone; `undefined`: it was to stay */
export async function endScratch(
  api: ObjectApi,
  { id, names, keep, interrupted, progress, say }: Ending,
  problems: RestoreProblem[],
): Promise<boolean | undefined> {
  if (keep && !interrupted) {
    say(`Kept until it expires: ${names.join(', ')}.`);
    return undefined;
  }
  progress('removing what the drill has made');
  const limit = abortedWithin(interrupted ? REMOVE_AFTER_SIGNAL_MS : REMOVE_MS);
  try {
    const left = await removeDrill(api, id, names, limit);
    if (left.length === 0) return true;
    problems.push(notRemoved(`${left.slice(0, 5).join(', ')} are not gone yet.`));
  } catch (error) {
    problems.push(notRemoved((error as Error).message));
  }
  return false;
}

function notRemoved(message: string): RestoreProblem {
  const hint = 'The next drill removes them, or: quiesce drill --sweep.';
  return { code: 'DRILL_NOT_REMOVED', message, hint };
}

export function problemOf(thrown: unknown): RestoreProblem {
  const { code, message, hint } = toQuiesceError(thrown);
  return { code, message, ...(hint !== '' && { hint }) };
}
