/** Labels and annotations of the objects of a run. */
export const RUN_LABELS = {
  /** The application: its group, or its namespace. */
  group: 'quiesce.dev/group',
  /** The id of the run. */
  run: 'quiesce.dev/run',
  /** `pending`, `proven`, `unproven` or `failed`. */
  verdict: 'quiesce.dev/verdict',
  /** On the ConfigMap of a run: `snapshot`, `restore` or `drill`. */
  report: 'quiesce.dev/report',
  /** Annotation on the ConfigMap of a restore or drill: who has looked at it. It ends the alert, not the verdict. */
  acknowledged: 'quiesce.dev/acknowledged',
} as const;

/** On each VolumeSnapshot: the receipt of the pod whose volume it is, as JSON on one line. */
export const RECEIPT_ANNOTATION = 'quiesce.dev/receipt';

/** The key of the report in the ConfigMap of a run. */
export const REPORT_KEY = 'report.json';

/** On a snapshot of a run that spans namespaces: all of them, with commas between. */
export const NAMESPACES_ANNOTATION = 'quiesce.dev/namespaces';

/** Annotations of a VolumeSnapshotContent that outlives the namespace of its run. */
export const KEPT = {
  /** The claim that was cut, as `NAMESPACE/NAME`. */
  claim: 'quiesce.dev/of-claim',
  /** How many snapshots the run has. */
  count: 'quiesce.dev/snapshots',
} as const;
