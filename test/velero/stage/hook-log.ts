/** When the hooks of one pod ran. */
export interface HookRun {
  readonly from: Date;
  readonly to: Date;
  /** Whether it had a pre and a post hook: only a pair holds something. */
  readonly pair: boolean;
}

const SECOND = 1_000;

/**
 * When a backup's hooks ran, by its log, which names no pod: Velero takes one pod after the other, so a pre hook
 * after a post hook is another pod's. Velero writes whole seconds: a run begins at the start of the one in
 * which its first hook was called, and ends at the end of the one in which its last hook returned.
 */
export function hookRuns(log: string): readonly HookRun[] {
  const runs: { from: number; to: number; pair: boolean }[] = [];
  for (const line of log.split('\n')) {
    const phase = / hookPhase=(pre|post)\b/.exec(line)?.[1];
    const at = Date.parse(/^time="([^"]+)"/.exec(line)?.[1] ?? '');
    if (phase === undefined || Number.isNaN(at)) continue;
    let run = runs.at(-1);
    if (run === undefined || (phase === 'pre' && run.pair)) {
      run = { from: at, to: at, pair: false };
      runs.push(run);
    }
    run.to = at + SECOND - 1;
    run.pair ||= phase === 'post';
  }
  return runs.map(({ from, to, pair }) => ({ from: new Date(from), to: new Date(to), pair }));
}

/** The longest hold of a pod, to the second. */
export function longestHold(runs: readonly HookRun[]): number | null {
  const held = runs
    .filter(({ pair }) => pair)
    .map(({ from, to }) => to.getTime() + 1 - SECOND - from.getTime());
  return held.length === 0 ? null : Math.max(...held);
}
