import { type ObjectApi } from '../api/objects.ts';
import type { RunProblem } from './document.ts';
import type { Expected, Seen } from './look.ts';
import { AFTERWARDS, type Pace, poll } from '../run/poll.ts';
import { lookAt, type Made, madeKey } from './seen-cut.ts';
import type { CutResult, CutSnapshot } from './volumes.ts';

/**
 * Waits until every snapshot that was cut is ready to use, or the signal aborts. It looks at the contents
 * again, so what was deleted since the cut is a problem.
 */
export async function untilReady(
  api: ObjectApi,
  cut: CutResult,
  signal: AbortSignal,
  pace: Pace = AFTERWARDS,
): Promise<CutResult> {
  const made = cut.snapshots.filter((one) => one.cut).map((one) => madeOf(one));
  const seen = new Map<string, Seen>();
  const isDone = (one: Pick<Made, 'expected'>): boolean => {
    const state = seen.get(madeKey(one));
    return state?.state === 'failed' || (state?.state === 'cut' && state.ready);
  };
  if (made.length > 0) {
    await poll(
      async () => {
        const left = made.filter((one) => !isDone(one));
        for (const [key, one] of await lookAt(api, left)) seen.set(key, one);
        return made.every(isDone);
      },
      signal,
      pace,
    );
  }
  const snapshots = cut.snapshots.map((one) =>
    withSeen(one, seen.get(`${one.namespace}/${one.name}`)),
  );
  return { ...cut, snapshots, problems: [...cut.problems, ...problemsOf(made, seen)] };
}

function madeOf({
  namespace,
  name,
  claim,
  uid = '',
  driver,
  handle,
}: CutSnapshot): Pick<Made, 'expected'> {
  const expected: Expected = {
    namespace,
    name,
    uid,
    claim,
    ...(driver !== undefined && { driver }),
    ...(handle !== undefined && { handle }),
  };
  return { expected };
}

function withSeen(snapshot: CutSnapshot, seen: Seen | undefined): CutSnapshot {
  if (seen?.state !== 'cut') return { ...snapshot, ready: false };
  const { ready, restoreSize } = seen;
  return { ...snapshot, ready, ...(restoreSize !== undefined && { restoreSize }) };
}

function problemsOf(
  made: readonly Pick<Made, 'expected'>[],
  seen: ReadonlyMap<string, Seen>,
): readonly RunProblem[] {
  return made.flatMap((one) => {
    const state = seen.get(madeKey(one));
    if (state?.state === 'failed') return [state.problem];
    if (state?.state === 'cut' && state.ready) return [];
    const why = state?.state === 'waiting' && state.why !== undefined ? `: ${state.why}` : '';
    const message = `The snapshot ${one.expected.name} of the claim ${one.expected.claim} was not ready in time${why}.`;
    return [{ code: 'NOT_READY', message, hint: 'Give slower storage more time: --timeout.' }];
  });
}
