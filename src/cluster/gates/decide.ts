import { RESTORE_LABEL } from '../objects/names.ts';
import type { Pod } from '../objects/pod.ts';
import { RESTORE } from '../restore/names.ts';
import { placeOf } from './match.ts';
import { readReleased, readStages } from './stages.ts';

/** What is known of the namespace in which a pod is created. */
export interface GateState {
  /** The run that restores into it; `undefined`: none. */
  readonly run: string | undefined;
  /** Whether the run gives signs of life. */
  readonly alive: boolean;
  readonly annotations: Readonly<Record<string, string>>;
}

export type Decision =
  /** It waits for its layer. */
  | { readonly outcome: 'gated' | 'held'; readonly run: string }
  /** Nothing holds it back. `of`: the run that has released its member. */
  | { readonly outcome: 'passed'; readonly of?: string }
  /** It would wait, but nobody would ever release it. */
  | { readonly outcome: 'abandoned'; readonly run: string }
  /** What the run has written cannot be read, so nobody knows whether it should wait. */
  | { readonly outcome: 'unclear'; readonly run: string };

const PASSED: Decision = { outcome: 'passed' };

/** Whether a new pod waits for its layer. A pure function. */
export function decide(
  pod: Pod,
  { run, alive, annotations }: GateState,
  dryRun: boolean,
): Decision {
  if (run === undefined) return PASSED;
  // It is bound already: a DaemonSet's of old, a static one, or one that somebody places by hand.
  if (pod.spec?.nodeName) return PASSED;
  const probe = pod.metadata?.labels?.[RESTORE.probe];
  if (probe !== undefined && !(dryRun && probe === run)) return PASSED;
  if (probe !== undefined) return alive ? { outcome: 'gated', run } : { outcome: 'abandoned', run };
  const stages = readStages(annotations[RESTORE.stages]);
  if (stages === undefined) return { outcome: alive ? 'unclear' : 'abandoned', run };
  const place = placeOf(pod, stages);
  if (place === undefined) return PASSED;
  if (readReleased(annotations[RESTORE.released]).has(place.layer)) {
    return place.member === undefined ? PASSED : { outcome: 'passed', of: run };
  }
  if (!alive) return { outcome: 'abandoned', run };
  // Velero fills the volumes of the pods that it creates, and of no others.
  const filled = place.member?.hold === true && pod.metadata?.labels?.[RESTORE_LABEL] === run;
  return { outcome: filled ? 'held' : 'gated', run };
}
