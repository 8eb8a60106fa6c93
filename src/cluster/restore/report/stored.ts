import { z } from 'zod';
import { at } from '../../objects/kube-object.ts';
import { REPORT_KEY } from '../../run/names.ts';
import { DRILL_MODES, type RecoveryRun } from '../document.ts';
import { RESTORE_LEVELS } from '../../../receipt/restore-level.ts';

/** Anybody may have written the ConfigMap: what is not of the expected type is left out. */
const text = z.string();
const optionalText = text.optional().catch(undefined);
const optionalNumber = z.number().optional().catch(undefined);
const ref = z.object({ namespace: text, kind: text, name: text });

function listOf<T extends z.ZodType>(one: T) {
  return z
    .array(z.unknown())
    .catch([])
    .transform((all): z.output<T>[] =>
      all.flatMap((value) => {
        const { data, success } = one.safeParse(value);
        return success ? [data] : [];
      }),
    );
}

const problem = z.object({
  code: text,
  message: text,
  hint: optionalText,
  object: optionalText,
});

const member = ref.extend({
  engine: optionalText,
  level: z.enum(RESTORE_LEVELS).optional().catch(undefined),
  message: optionalText,
  problems: listOf(problem),
  timeline: z.record(text, z.number().optional().catch(undefined)).catch({}),
  dataAt: optionalText,
  bytes: optionalNumber,
});

const recovery = {
  apiVersion: z.literal('quiesce.dev/v1').catch('quiesce.dev/v1'),
  id: text.min(1),
  group: text,
  source: z.object({
    kind: z.enum(['backup', 'snapshot']),
    name: text,
    takenAt: optionalText,
    namespaces: z.record(text, text).catch({}),
  }),
  verdict: z.enum(['proven', 'unproven', 'failed']).optional(),
  layers: listOf(
    z.object({ members: listOf(ref), startedAt: optionalText, healthyAt: optionalText }),
  ),
  members: listOf(member),
  problems: listOf(problem),
  notKept: listOf(
    z.object({ member: ref, volume: text, why: text, declared: optionalText }),
  ).optional(),
  startedAt: text,
  endedAt: optionalText,
  rtoSeconds: optionalNumber,
  rpoSeconds: optionalNumber,
  shortened: optionalText,
};

const document = z.discriminatedUnion('kind', [
  z.object({ kind: z.literal('RestoreRun'), ...recovery }),
  z.object({
    kind: z.literal('DrillRun'),
    ...recovery,
    mode: z.enum(DRILL_MODES),
    scratch: listOf(text),
    removed: z.boolean().optional().catch(undefined),
  }),
]);

/**
 * The restore or drill that a ConfigMap records.
 *
 * @returns why it cannot be read, as words that follow “its record”, where it cannot
 */
export function storedRecovery(configMap: unknown): RecoveryRun | string {
  const stored = at(configMap, 'data', REPORT_KEY);
  if (typeof stored !== 'string') return `has no key ${REPORT_KEY}`;
  try {
    const { data, error } = document.safeParse(JSON.parse(stored));
    if (data !== undefined) return data as RecoveryRun;
    const [first] = error.issues;
    return `is not one of a restore or drill: ${first?.path.join('.')}: ${first?.message}`;
  } catch {
    return 'is not JSON';
  }
}
