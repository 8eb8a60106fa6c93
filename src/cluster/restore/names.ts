/** What a staged restore writes on objects, and what the webhook reads of them. */
export const RESTORE = {
  /** Label of a namespace while a staged restore runs in it: the id of the run. The webhook gates there. */
  run: 'quiesce.dev/restore',
  /** Annotation of that namespace: the layers already released, as their numbers from 0, commas between. */
  released: 'quiesce.dev/restore-released',
  /** Annotation of that namespace: which pods belong to which layer, as JSON on one line. */
  stages: 'quiesce.dev/restore-stages',
  /** Annotation of that namespace: the Lease of the run, as `NAMESPACE/NAME`. */
  lease: 'quiesce.dev/restore-lease',
  /** The scheduling gate of a pod whose layer is not released. */
  gate: 'quiesce.dev/restore-stage',
  /** Label of the verb's own pods: never gated, but on a dry run, by which the verb sees that the webhook gates. */
  probe: 'quiesce.dev/restore-probe',
  /** Annotation of a pod that its init container holds instead of a gate: the id of the run. */
  hold: 'quiesce.dev/restore-hold',
  /** Annotation that ends the hold: the id of the run. */
  release: 'quiesce.dev/release',
  /** Annotation of a CronJob that the restore suspended and that ran before: the id of the run. */
  suspended: 'quiesce.dev/restore-suspended',
  /** Label on what a drill has made: the id of its run. */
  drill: 'quiesce.dev/drill',
  /** Annotation on what a drill has made: after this time of the API server anybody may delete it. */
  expires: 'quiesce.dev/expires',
} as const;
