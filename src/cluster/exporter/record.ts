import type { z } from 'zod';
import { at, type KubeObject, labelsOf, namespaceOf, textAt } from '../objects/kube-object.ts';
import { REPORT_KEY, RUN_LABELS } from '../run/names.ts';

/** Velero's label on what it has restored: such a report is older than its ConfigMap. */
const RESTORED = 'velero.io/restore-name';

/** What the ConfigMap of any run says beside its report. */
export interface Record {
  readonly own: { readonly uid: string; readonly namespace: string; readonly group: string };
  /** The label of its group, if it has one. */
  readonly label: string;
  /** By the API server's clock, in milliseconds of the epoch. */
  readonly created: number;
  readonly pending: boolean;
  /** It came back from a backup. */
  readonly restored: boolean;
}

export function recordOf(object: unknown): Record {
  const map = (object ?? {}) as KubeObject;
  const labels = labelsOf(map);
  const namespace = namespaceOf(map);
  const label = labels[RUN_LABELS.group] ?? '';
  return {
    own: { uid: textAt(map, 'metadata', 'uid') ?? '', namespace, group: label || namespace },
    label,
    created: Date.parse(textAt(map, 'metadata', 'creationTimestamp') ?? '') || 0,
    pending: labels[RUN_LABELS.verdict] === 'pending',
    restored: labels[RESTORED] !== undefined,
  };
}

/** The group of a report: as on its objects, so that both are one group. */
export function groupOf({ label }: Record, report: { readonly group: string }): { group: string } {
  return { group: label || report.group };
}

/** The clock of the machine that made the run may be ahead, and a restored ConfigMap is new. */
export function timesOf(
  { created, restored }: Record,
  ended: string,
): { readonly recordedAt: number; readonly endedAt: number } {
  const endedAt = Math.min(Date.parse(ended), created);
  return { recordedAt: restored ? endedAt : created, endedAt };
}

/** What is known of a run whose report cannot be read. */
export function failedAt(created: number) {
  return { verdict: 'failed', recordedAt: created, endedAt: created } as const;
}

/** @returns the report, or why it cannot be read */
export function parseReport<T>(object: unknown, schema: z.ZodType<T>): T | string {
  const text = at(object, 'data', REPORT_KEY);
  if (typeof text !== 'string') return `it has no key ${REPORT_KEY}`;
  try {
    const { data, error } = schema.safeParse(JSON.parse(text));
    return data ?? `${error?.issues[0]?.path.join('.')}: ${error?.issues[0]?.message}`;
  } catch {
    return 'it is not JSON';
  }
}
