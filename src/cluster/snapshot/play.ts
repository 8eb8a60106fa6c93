import { toQuiesceError } from '../../errors.ts';
import { abortedWithin } from '../../lib/deadline.ts';
import { each } from '../api/objects.ts';
import { documentOf } from './assemble.ts';
import type { RunProblem, SnapshotRun } from './document.ts';
import { counted } from '../../lib/counted.ts';
import { notCut, problemsFrom } from './not-cut.ts';
import { NOTHING_RETAINED, retainedProblem, retainsAny } from './retained.ts';
import { beforeLeasesEnd } from './freeze-limit.ts';
import { GroupFreeze } from './group-freeze.ts';
import type { Happened } from './happened.ts';
import type { RunLease } from '../run/lease.ts';
import type { RunOptions, RunParts } from './run-parts.ts';
import type { CutMember, Scene } from './scene.ts';
import { type Mark, Steps } from './steps.ts';
import { type ReadyTarget, readyTargets, targetsOf } from './targets.ts';
import type { CutResult, VolumePlan, Volumes } from './volumes.ts';

/** A run that has its Lease. */
export interface Ready {
  readonly parts: RunParts;
  readonly options: RunOptions;
  readonly stop: AbortSignal;
  readonly id: string;
  readonly scene: Scene;
  readonly members: readonly CutMember[];
  readonly volumes: Volumes;
  readonly plan: VolumePlan;
}

const RELEASE_EARLIER_MS = 10_000;

/** What a run does once it has its Lease. */
export class Run {
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
      ...scene,
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
    let begun: Mark | undefined;
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

/** After a thaw without an answer the hold may still be there. */
async function stillFrozen(freeze: GroupFreeze): Promise<readonly RunProblem[]> {
  return freeze.freezes.some(({ final }) => final === undefined) ? await freeze.abandon() : [];
}
