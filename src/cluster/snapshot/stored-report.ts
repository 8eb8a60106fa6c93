import { z } from 'zod';
import { type KubeObject, namespaceOf, textAt } from '../objects/kube-object.ts';
import { REPORT_KEY } from '../run/names.ts';
import type { SnapshotRun } from './document.ts';

const problem = z.looseObject({
  code: z.string(),
  message: z.string(),
  hint: z.string().optional(),
});

const snapshot = z.looseObject({
  namespace: z.string().min(1),
  name: z.string().min(1),
  claim: z.string(),
  uid: z.string().optional(),
  cutAt: z.string().optional(),
  ready: z.boolean(),
  restoreSize: z.number().nonnegative().optional(),
});

const member = z.looseObject({
  namespace: z.string(),
  kind: z.string(),
  name: z.string(),
  engine: z.string().optional(),
  receipt: z.looseObject({}).optional(),
  receipts: z.array(z.looseObject({ pod: z.string(), receipt: z.looseObject({}).optional() })),
  snapshots: z.array(snapshot),
  timeline: z.record(z.string(), z.number()),
  problems: z.array(problem),
});

const report = z.looseObject({
  apiVersion: z.literal('quiesce.dev/v1'),
  kind: z.literal('SnapshotRun'),
  id: z.string(),
  group: z.string(),
  home: z.string().optional(),
  verdict: z.enum(['proven', 'unproven', 'failed']),
  together: z
    .looseObject({
      kind: z.enum(['exact', 'complete-to']),
      at: z.string(),
      until: z.string().optional(),
      driverAt: z.string().optional(),
    })
    .optional(),
  members: z.array(member),
  leftOut: z.array(z.looseObject({ namespace: z.string(), claim: z.string() })).optional(),
  retained: z
    .looseObject({ contents: z.array(z.string()), groups: z.array(z.string()) })
    .optional(),
  problems: z.array(problem),
  startedAt: z.string(),
  endedAt: z.string(),
  freezeSpreadMs: z.number(),
  shortened: z.string().optional(),
});

export type ReadReport =
  | { readonly kind: 'whole'; readonly document: SnapshotRun }
  /** It was copied or restored from another namespace, whose run it is. */
  | { readonly kind: 'foreign' }
  | { readonly kind: 'damaged'; readonly why: string };

/** Reads the ConfigMap of the run. What it holds may come from anybody who may write it. */
export function readReport(map: KubeObject, id: string): ReadReport {
  const text = textAt(map, 'data', REPORT_KEY);
  if (text === undefined) return { kind: 'damaged', why: `it has no key ${REPORT_KEY}` };
  let parsed: unknown;
  try {
    parsed = JSON.parse(text);
  } catch {
    return { kind: 'damaged', why: 'it is not JSON' };
  }
  const { data, error } = report.safeParse(parsed);
  if (data === undefined) {
    const [issue] = error.issues;
    return { kind: 'damaged', why: `${issue?.path.join('.') || 'report'}: ${issue?.message}` };
  }
  // The schema holds every field that a reader of the document uses.
  const document = data as unknown as SnapshotRun;
  if (document.id !== id) return { kind: 'damaged', why: `it tells of the run ${document.id}` };
  const cut = document.members.flatMap(({ snapshots }) => snapshots);
  if (isForeign(document, cut, namespaceOf(map))) return { kind: 'foreign' };
  if (document.verdict === 'proven' && cut.length === 0) {
    return { kind: 'damaged', why: 'it names no snapshot' };
  }
  return { kind: 'whole', document };
}

function isForeign(
  { home }: SnapshotRun,
  cut: readonly { readonly namespace: string }[],
  namespace: string,
): boolean {
  if (home !== undefined) return home !== namespace;
  return cut.length > 0 && cut.every((one) => one.namespace !== namespace);
}
