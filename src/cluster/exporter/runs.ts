import { z } from 'zod';
import { at, type KubeObject, labelsOf, namespaceOf, textAt } from '../inventory/catalog.ts';
import type { RunVerdict, SnapshotRun } from '../snapshot/document.ts';
import { REPORT_KEY, RUN_LABELS } from '../run/names.ts';
import type { Groups } from './labels.ts';

export const VERDICTS = ['proven', 'unproven', 'failed'] as const satisfies readonly RunVerdict[];

/** What the exporter keeps of a run. */
export interface RunView {
  readonly uid: string;
  /** That of the ConfigMap, whoever wrote it: a report speaks for no other namespace. */
  readonly namespace: string;
  readonly group: string;
  readonly verdict: RunVerdict;
  /** Orders the runs of a group, in milliseconds of the epoch. */
  readonly recordedAt: number;
  readonly endedAt: number;
  readonly freezeSpreadMs?: number;
  /** Why its report cannot be read. It counts as failed. */
  readonly unreadable?: string;
}

type Report = Pick<SnapshotRun, 'group' | 'verdict' | 'endedAt' | 'freezeSpreadMs'>;

const report: z.ZodType<Report> = z.object({
  kind: z.literal('SnapshotRun'),
  group: z.string().min(1),
  verdict: z.enum(VERDICTS),
  endedAt: z.iso.datetime({ offset: true }),
  freezeSpreadMs: z.number().nonnegative(),
});

/** Velero's label on what it has restored: such a report is older than its ConfigMap. */
const RESTORED = 'velero.io/restore-name';

/** Reads the ConfigMap of a run. `undefined`: the run is under way. */
export function runOf(object: unknown): RunView | undefined {
  const map = (object ?? {}) as KubeObject;
  const labels = labelsOf(map);
  if (labels[RUN_LABELS.verdict] === 'pending') return undefined;
  const created = Date.parse(textAt(map, 'metadata', 'creationTimestamp') ?? '') || 0;
  const namespace = namespaceOf(map);
  const own = { uid: textAt(map, 'metadata', 'uid') ?? '', namespace };
  const parsed = parse(at(map, 'data', REPORT_KEY));
  if (typeof parsed === 'string') {
    const group = labels[RUN_LABELS.group] || namespace;
    const ended = { recordedAt: created, endedAt: created };
    return { ...own, ...ended, group, verdict: 'failed', unreadable: parsed };
  }
  const { verdict, freezeSpreadMs } = parsed;
  // As on its snapshots, so that both are one group.
  const group = labels[RUN_LABELS.group] || parsed.group;
  // The clock of the machine that made the run may be ahead, and a restored ConfigMap is new.
  const endedAt = Math.min(Date.parse(parsed.endedAt), created);
  const recordedAt = labels[RESTORED] === undefined ? created : endedAt;
  return { ...own, group, verdict, freezeSpreadMs, recordedAt, endedAt };
}

function parse(text: unknown): Report | string {
  if (typeof text !== 'string') return `it has no key ${REPORT_KEY}`;
  try {
    const { data, error } = report.safeParse(JSON.parse(text));
    return data ?? `${error.issues[0]?.path.join('.')}: ${error.issues[0]?.message}`;
  } catch {
    return 'it is not JSON';
  }
}

/** The state of one group. */
export interface GroupState {
  readonly namespace: string;
  readonly group: string;
  /** The newest run. */
  readonly last: RunView;
  /** The newest proven run. */
  readonly success?: RunView;
}

/** The runs on record. */
export class RunLedger {
  readonly #groups: Groups;
  readonly #runs = new Map<string, RunView>();
  #unlisted = new Set<string>();

  constructor(groups: Groups) {
    this.#groups = groups;
  }

  listing(): void {
    this.#unlisted = new Set(this.#runs.keys());
  }

  see(run: RunView): void {
    this.#unlisted.delete(run.uid);
    const group = this.#groups.admit(run.namespace, run.group);
    this.#runs.set(run.uid, { ...run, group });
  }

  listedAll(): void {
    for (const uid of this.#unlisted) this.#runs.delete(uid);
    this.#unlisted.clear();
  }

  gone(uid: string): void {
    this.#runs.delete(uid);
  }

  forget(namespace: string): void {
    for (const [uid, run] of this.#runs) if (run.namespace === namespace) this.#runs.delete(uid);
  }

  groups(): readonly GroupState[] {
    const found = new Map<string, GroupState>();
    for (const run of this.#runs.values()) {
      const { namespace, group } = run;
      const key = `${namespace}\n${group}`;
      const { last, success } = found.get(key) ?? {};
      const proven = run.verdict === 'proven' ? newer(success, run) : success;
      const state = { namespace, group, last: newer(last, run) };
      found.set(key, proven === undefined ? state : { ...state, success: proven });
    }
    return [...found.values()];
  }
}

/** Of two runs recorded within one second, the one whose verdict is worse counts. */
function newer(one: RunView | undefined, other: RunView): RunView {
  if (one === undefined) return other;
  const later = other.recordedAt - one.recordedAt || other.endedAt - one.endedAt;
  const worse = VERDICTS.indexOf(other.verdict) - VERDICTS.indexOf(one.verdict);
  return later > 0 || (later === 0 && worse > 0) ? other : one;
}
