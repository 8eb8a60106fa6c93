/** What a restore in place writes on objects. */
export const REPLACED = {
  /** Label of a volume that a restore has replaced: the id of that run. */
  run: 'quiesce.dev/replaced-by',
  /** Annotation of that volume: the claim that had it, as `NAMESPACE/NAME`. */
  claim: 'quiesce.dev/replaced-claim',
  /** Annotation of that volume: its reclaim policy before. */
  policy: 'quiesce.dev/replaced-policy',
  /** Annotation of a workload that is scaled to 0: the id of the run and its own replicas, as `RUN=3`. */
  scaled: 'quiesce.dev/scaled-from',
} as const;
