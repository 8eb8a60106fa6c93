import { LONGEST_MS } from '../../defaults.ts';
import { QuiesceError, toQuiesceError } from '../../errors.ts';
import { abortedWithin } from '../../lib/deadline.ts';
import { formatDuration } from '../../lib/duration.ts';
import type { Receipt } from '../../receipt/receipt.ts';
import { each, type ObjectApi } from '../api/objects.ts';
import { counted } from '../report/words.ts';
import { documentOf } from './assemble.ts';
import type { RunProblem, SnapshotRun } from './document.ts';
import { type Freeze, GroupFreeze } from './group-freeze.ts';
import { notCut, problemsFrom } from './not-cut.ts';
import { NOTHING_RETAINED, retainedProblem, retainsAny } from './retained.ts';
import { RunLease } from '../run/lease.ts';
import { type CutMember, cutMembers, type Scene } from './scene.ts';
import type { PodCalls } from '../run/sidecar-ways.ts';
import { Steps } from './steps.ts';
import { type ReadyTarget, readyTargets, targetsOf } from './targets.ts';
import { newRunId } from '../run/run-id.ts';
import type { Happened } from './happened.ts';
import type { CutResult, VolumePlan, Volumes } from './volumes.ts';

/** What a run works with. */
export interface RunParts {
  /** Plans the application, and looks at its pods. Called before the freeze, and after the cut. */
  look(signal: AbortSignal): Promise<Scene>;
  volumesOf(scene: Scene): Volumes;
  readonly api: ObjectApi;
  readonly pods: PodCalls;
}

export interface RunOptions {
  /** For the whole run. */
  readonly timeoutMs: number;
  /** Until every freeze must be in place. */
  readonly freezeTimeoutMs: number;
  /** Absent: each sidecar's own. */
  readonly ttlMs?: number | undefined;
  /** Of the Lease; absent: the first namespace of the application. */
  readonly leaseNamespace?: string | undefined;
  progress(sentence: string): void;
}

/**
 * One run: plan, checks, Lease, freeze, cut, thaw, ready, record. Whatever happens after the Lease is
 * taken, nothing of this run stays frozen when it resolves or rejects, but for a sidecar that cannot be
 * reached: its own lease ends that freeze.
 *
 * @param signal the user's interruption
 * @throws QuiesceError if it ended before anything was frozen; later failures are in the document
 */
export async function runSnapshot(
  parts: RunParts,
  options: RunOptions,
  signal: AbortSignal,
): Promise<SnapshotRun> {
  const stop = new AbortController();
  const end = stopWith(stop, options.timeoutMs, signal);
  try {
    options.progress('planning');
    const scene = await parts.look(stop.signal);
    const members = cutMembers(scene);
    const volumes = parts.volumesOf(scene);
    options.progress('looking at volumes and classes');
    const plan = await volumes.preflight(
      members.map(({ member }) => member),
      stop.signal,
    );
    const { group, namespaces } = scene.plan;
    const id = newRunId(group, new Date());
    const place = { namespace: options.leaseNamespace ?? namespaces[0] ?? 'default', group };
    options.progress('waiting for the Lease of the application');
    const lease = await RunLease.take(parts.api, place, id, stop.signal);
    lease.lost.addEventListener('abort', () => stop.abort(lease.lost.reason));
    try {
      const run = new Run({ parts, options, stop: stop.signal, id, scene, members, volumes, plan });
      return await run.play(lease);
    } finally {
      await lease.release();
    }
  } catch (error) {
    throw stop.signal.aborted ? stop.signal.reason : error;
  } finally {
    end();
  }
}

/** Aborts for the first of: the user, the time. @returns what ends the watch */
function stopWith(stop: AbortController, timeoutMs: number, signal: AbortSignal): () => void {
  const interrupted = (): void =>
    stop.abort(new QuiesceError('RUN_INTERRUPTED', 'A signal ended the run.'));
  if (signal.aborted) interrupted();
  signal.addEventListener('abort', interrupted);
  const late = setTimeout(() => {
    const text = `The run was not done within ${formatDuration(timeoutMs)}.`;
    stop.abort(new QuiesceError('RUN_TOO_LATE', text, { hint: 'Raise --timeout.' }));
  }, timeoutMs);
  return () => {
    clearTimeout(late);
    signal.removeEventListener('abort', interrupted);
  };
}

interface Ready {
  readonly parts: RunParts;
  readonly options: RunOptions;
  readonly stop: AbortSignal;
  readonly id: string;
  readonly scene: Scene;
  readonly members: readonly CutMember[];
  readonly volumes: Volumes;
  readonly plan: VolumePlan;
}

/** How long before its lease ends a freeze is thawed rather than waited for. */
const LEASE_MARGIN_MS = 2_000;
const RELEASE_EARLIER_MS = 10_000;

class Run {
  readonly #ready: Ready;
  readonly #steps = new Steps();
  readonly #begun = new Date().toISOString();
  readonly #failures: RunProblem[] = [];
  readonly #notes: RunProblem[] = [];
  #targets: readonly ReadyTarget[] = [];
  #retained = NOTHING_RETAINED;

  constructor(ready: Ready) {
    this.#ready = ready;
  }

  async play(lease: RunLease): Promise<SnapshotRun> {
    const { parts, options, stop, scene, members, volumes, plan, id } = this.#ready;
    const targets = targetsOf(parts.pods, members);
    this.#notes.push(...plan.notes);
    await this.#cleanUp(lease.previous, targets);
    options.progress(`asking ${counted(targets.length, 'sidecar')}`);
    const wanted = { grouped: plan.group, ttlMs: options.ttlMs };
    this.#targets = await readyTargets(targets, wanted, stop);
    stop.throwIfAborted();
    const order = { id, ttlMs: options.ttlMs, timeoutMs: options.freezeTimeoutMs };
    const freeze = new GroupFreeze(this.#targets, order, this.#steps);
    const calledAt = new Date().toISOString();
    const cut = await this.#freezeAndCut(freeze);
    const done = cut === undefined ? undefined : await this.#afterwards(cut.result);
    const leaseHeld = await this.#confirm(lease);
    const happened: Happened = {
      id,
      group: scene.plan.group,
      startedAt: this.#begun,
      calledAt,
      plan: scene.plan,
      members,
      targets: this.#targets,
      freezes: freeze.freezes,
      claims: plan.claims,
      cutBegun: cut?.begun,
      cutSeen: cut?.seen,
      cut: done?.cut,
      readyMark: done?.ready,
      atEnd: done?.atEnd,
      leaseHeld,
      retained: this.#retained,
      failures: this.#failures,
      notes: this.#notes,
    };
    return await this.#record(volumes, happened);
  }

  /** What a run left that died: its snapshots are marked, and what it may still hold is released. */
  async #cleanUp(previous: string | undefined, targets: ReturnType<typeof targetsOf>) {
    const { volumes, scene, stop } = this.#ready;
    this.#notes.push(...(await volumes.sweep(scene.plan.group)));
    if (previous === undefined) return;
    const limit = abortedWithin(RELEASE_EARLIER_MS, stop);
    const released = await each(targets, (one) =>
      one.sidecar.abandon(previous, limit).catch(() => false),
    );
    const count = released.filter((one) => one).length;
    const found =
      count === 0
        ? 'nothing was frozen any more'
        : `${counted(count, 'pod')} ${count === 1 ? 'was' : 'were'} still frozen, and ${count === 1 ? 'is' : 'are'} thawed now`;
    const message = `The run ${previous} ended without a result; ${found}.`;
    this.#notes.push({ code: 'EARLIER_RUN_DIED', message });
  }

  /** Everything that is frozen is thawed when it resolves. It never rejects. */
  async #freezeAndCut(freeze: GroupFreeze) {
    const { options, stop, volumes, plan, id, scene } = this.#ready;
    const run = { id, group: scene.plan.group };
    let begun: ReturnType<Steps['mark']> | undefined;
    try {
      options.progress(`freezing ${counted(freeze.freezes.length, 'pod')}`);
      await freeze.freeze(stop);
      begun = this.#steps.mark();
      options.progress(`cutting ${counted(plan.claims.length, 'volume')}`);
      const limit = beforeLeasesEnd(freeze.freezes, stop);
      const result = await volumes.cut(run, plan, limit);
      stop.throwIfAborted();
      const whole = result.problems.length === 0 && result.snapshots.every(({ cut }) => cut);
      if (!whole) throw notCut(result, plan, limit.aborted);
      const seen = this.#steps.mark();
      options.progress('thawing');
      await freeze.thaw();
      this.#notes.push(...(await stillFrozen(freeze)));
      return { begun, seen, result };
    } catch (error) {
      this.#failures.push(...problemsFrom(error));
      options.progress('thawing: the run failed');
      this.#failures.push(...(await freeze.abandon()));
      if (begun !== undefined) await this.#discard(run);
      return undefined;
    }
  }

  async #discard(run: { readonly id: string; readonly group: string }): Promise<void> {
    try {
      this.#retained = await this.#ready.volumes.discard(run);
      if (retainsAny(this.#retained)) this.#notes.push(retainedProblem(this.#retained));
    } catch (error) {
      const { message } = toQuiesceError(error);
      this.#failures.push({
        code: 'NOT_DISCARDED',
        message: `What the run has cut could not be deleted: ${message}`,
        hint: 'The next run of the application marks it as failed.',
      });
    }
  }

  /** Waits for the snapshots, and looks at the application again. */
  async #afterwards(cut: CutResult) {
    const { parts, options, stop, volumes } = this.#ready;
    options.progress('waiting until the snapshots are ready');
    const failed = (error: unknown): undefined => {
      this.#failures.push(...problemsFrom(error));
      return undefined;
    };
    const [ready, atEnd] = await Promise.all([
      volumes.ready(cut, stop).catch(failed),
      parts.look(stop).catch(failed),
    ]);
    if (stop.aborted) failed(stop.reason);
    this.#failures.push(...(ready?.problems ?? []));
    return { cut: ready ?? cut, ready: this.#steps.mark(), atEnd };
  }

  async #confirm(lease: RunLease): Promise<boolean> {
    try {
      await lease.confirm();
      return true;
    } catch (error) {
      this.#failures.push(...problemsFrom(error));
      return false;
    }
  }

  async #record(volumes: Volumes, happened: Happened): Promise<SnapshotRun> {
    this.#ready.options.progress('recording');
    const document = documentOf(happened);
    try {
      await volumes.record(document, happened.cut);
      return document;
    } catch (error) {
      // What is not on record as proven must not be called so.
      this.#failures.push(...problemsFrom(error));
      return documentOf({ ...happened, failures: this.#failures });
    }
  }
}

/** Ends with the run, or just before the first lease of a freeze would. */
function beforeLeasesEnd(freezes: readonly Freeze[], stop: AbortSignal): AbortSignal {
  const lengths = freezes.flatMap(({ held }) => (held === undefined ? [] : leaseMs(held)));
  if (lengths.length === 0) return stop;
  const shortest = Math.min(...lengths);
  const spent = spreadSoFar(freezes);
  const margin = Math.min(LEASE_MARGIN_MS, shortest / 10);
  const left = Math.max(1, Math.round(shortest - spent - margin));
  return abortedWithin(left, stop);
}

/** Two times of one clock, in one receipt; a leap of that clock between them is not taken for a length. */
function leaseMs({ frozenAt, expiresAt }: Receipt): number[] {
  const length = Date.parse(expiresAt ?? '') - Date.parse(frozenAt ?? '');
  return length > 0 && length <= LONGEST_MS ? [length] : [];
}

function spreadSoFar(freezes: readonly Freeze[]): number {
  const times = freezes.flatMap(({ frozen }) => frozen?.ms ?? []);
  return Math.max(...times) - Math.min(...times);
}

/** After a thaw without an answer the hold may still be there. */
async function stillFrozen(freeze: GroupFreeze): Promise<readonly RunProblem[]> {
  return freeze.freezes.some(({ final }) => final === undefined) ? await freeze.abandon() : [];
}
