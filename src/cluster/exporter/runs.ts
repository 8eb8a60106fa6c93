import { z } from 'zod';
import type { RunVerdict, SnapshotRun } from '../snapshot/document.ts';
import type { Groups } from './labels.ts';
import { failedAt, groupOf, parseReport, recordOf, timesOf } from './record.ts';

export const VERDICTS = ['proven', 'unproven', 'failed'] as const satisfies readonly RunVerdict[];

/** What the exporter keeps of any run. */
export interface RecordView {
  readonly uid: string;
  /** That of the ConfigMap, whoever wrote it: a report speaks for no other namespace. */
  readonly namespace: string;
  readonly group: string;
  /** `pending`: it is under way, or its verb died. */
  readonly verdict: RunVerdict | 'pending';
  /** Orders the runs of a group, in milliseconds of the epoch. */
  readonly recordedAt: number;
  readonly endedAt: number;
  /** Why its report cannot be read. It counts as failed. */
  readonly unreadable?: string;
}

/** A snapshot of an application. */
export interface RunView extends RecordView {
  readonly verdict: RunVerdict;
  readonly freezeSpreadMs?: number;
}

type Report = Pick<SnapshotRun, 'group' | 'verdict' | 'endedAt' | 'freezeSpreadMs'>;

const report: z.ZodType<Report> = z.object({
  kind: z.literal('SnapshotRun'),
  group: z.string().min(1),
  verdict: z.enum(VERDICTS),
  endedAt: z.iso.datetime({ offset: true }),
  freezeSpreadMs: z.number().nonnegative(),
});

/** Reads the ConfigMap of a snapshot. `undefined`: the run is under way. */
export function runOf(object: unknown): RunView | undefined {
  const record = recordOf(object);
  if (record.pending) return undefined;
  const { own, created } = record;
  const parsed = parseReport(object, report);
  if (typeof parsed === 'string') return { ...own, ...failedAt(created), unreadable: parsed };
  const { verdict, freezeSpreadMs } = parsed;
  return {
    ...own,
    ...timesOf(record, parsed.endedAt),
    ...groupOf(record, parsed),
    verdict,
    freezeSpreadMs,
  };
}

/** The state of one group. */
export interface GroupState<V extends RecordView = RunView> {
  readonly namespace: string;
  readonly group: string;
  /** The newest run that has ended. */
  readonly last?: V;
  /** The newest proven run. */
  readonly success?: V;
  /** Of those that have not ended, the one that was recorded first. */
  readonly running?: V;
}

/** The runs on record. */
export class RunLedger<V extends RecordView = RunView> {
  readonly #groups: Groups;
  readonly #runs = new Map<string, V>();
  #unlisted = new Set<string>();

  constructor(groups: Groups) {
    this.#groups = groups;
  }

  listing(): void {
    this.#unlisted = new Set(this.#runs.keys());
  }

  see(run: V): void {
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

  groups(): readonly GroupState<V>[] {
    const found = new Map<string, GroupState<V>>();
    for (const run of this.#runs.values()) {
      const { namespace, group } = run;
      const key = `${namespace}\n${group}`;
      found.set(key, withRun(found.get(key) ?? { namespace, group }, run));
    }
    return [...found.values()];
  }
}

function withRun<V extends RecordView>(state: GroupState<V>, run: V): GroupState<V> {
  if (run.verdict === 'pending') {
    const { running } = state;
    const first = running !== undefined && running.recordedAt <= run.recordedAt;
    return first ? state : { ...state, running: run };
  }
  const last = newer(state.last, run);
  if (run.verdict !== 'proven') return { ...state, last };
  return { ...state, last, success: newer(state.success, run) };
}

/** Of two runs recorded within one second, the one whose verdict is worse counts. */
function newer<V extends RecordView>(one: V | undefined, other: V): V {
  if (one === undefined) return other;
  const later = other.recordedAt - one.recordedAt || other.endedAt - one.endedAt;
  return later > 0 || (later === 0 && badness(other) > badness(one)) ? other : one;
}

function badness({ verdict }: RecordView): number {
  return VERDICTS.findIndex((one) => one === verdict);
}
