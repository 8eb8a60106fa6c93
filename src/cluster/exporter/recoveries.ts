import { z } from 'zod';
import { type KubeObject, textAt } from '../objects/kube-object.ts';
import type { DrillRun, RecoveryRun } from '../restore/document.ts';
import { RUN_LABELS } from '../run/names.ts';
import { failedAt, groupOf, parseReport, type Record, recordOf, timesOf } from './record.ts';
import { type RecordView, VERDICTS } from './runs.ts';

/** A restore or a drill of an application. */
export interface RecoveryView extends RecordView {
  readonly rtoSeconds?: number;
  readonly rpoSeconds?: number;
  /** Something that a drill made is not removed. */
  readonly leftBehind?: boolean;
  /** A person has looked at it, and said so on its record. */
  readonly acknowledged?: boolean;
}

type Report = Pick<
  RecoveryRun,
  'group' | 'verdict' | 'startedAt' | 'endedAt' | 'rtoSeconds' | 'rpoSeconds'
> &
  Pick<DrillRun, 'removed'>;

const seconds = z.number().nonnegative().optional();

const fields = {
  group: z.string().min(1),
  verdict: z.enum(VERDICTS),
  startedAt: z.iso.datetime({ offset: true }),
  endedAt: z.iso.datetime({ offset: true }),
  rtoSeconds: seconds,
  rpoSeconds: seconds,
  removed: z.boolean().optional(),
};

/** Reads the ConfigMap of a restore. */
export const restoreOf = reader(z.object({ kind: z.literal('RestoreRun'), ...fields }));

/** Reads the ConfigMap of a drill. */
export const drillOf = reader(z.object({ kind: z.literal('DrillRun'), ...fields }));

/** `undefined`: it came back from a backup that was made while it was under way, and never ends. */
type Reader = (object: unknown) => RecoveryView | undefined;

function reader(schema: z.ZodType): Reader {
  return (object) => {
    const record = recordOf(object);
    const { own, created } = record;
    if (record.pending) {
      if (record.restored) return undefined;
      return { ...own, verdict: 'pending', recordedAt: created, endedAt: created };
    }
    const acknowledged = isAcknowledged(object) && { acknowledged: true };
    const parsed = parseReport(object, schema as z.ZodType<Report>);
    if (typeof parsed === 'string')
      return { ...own, ...failedAt(created), unreadable: parsed, ...acknowledged };
    const { verdict = 'failed', rtoSeconds, rpoSeconds, removed } = parsed;
    return {
      ...own,
      ...recoveryTimes(record, parsed),
      ...groupOf(record, parsed),
      verdict,
      ...(rtoSeconds !== undefined && { rtoSeconds }),
      ...(rpoSeconds !== undefined && { rpoSeconds }),
      ...(removed !== undefined && { leftBehind: !removed }),
      ...acknowledged,
    };
  };
}

/**
 * Its record was made when it began: it ended as much later as it took. So the clock of the machine that made
 * the run, which may be ahead, tells a duration only.
 */
function recoveryTimes(record: Record, { startedAt, endedAt = '' }: Report) {
  const { created, restored } = record;
  if (restored) return timesOf(record, endedAt);
  const took = Math.max(0, Date.parse(endedAt) - Date.parse(startedAt));
  return {
    recordedAt: created,
    endedAt: Math.min(created + took, Math.max(created, Date.parse(endedAt))),
  };
}

function isAcknowledged(object: unknown): boolean {
  const { metadata } = (object ?? {}) as KubeObject;
  return Boolean(textAt(metadata, 'annotations', RUN_LABELS.acknowledged));
}
