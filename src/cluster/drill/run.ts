import { QuiesceError } from '../../errors.ts';
import { abortedWithin } from '../../lib/deadline.ts';
import { formatDuration } from '../../lib/duration.ts';
import type { ObjectApi } from '../api/objects.ts';
import { forbidden } from '../api/rights.ts';
import type { DrillRun, RestoreProblem } from '../restore/document.ts';
import { checkVolumes, snapshotClassesOf } from '../restore/volumes/make.ts';
import { leaseName, RunLease } from '../run/lease.ts';
import { missingRights } from '../run/missing-rights.ts';
import { newRunId } from '../run/run-id.ts';
import { type CopyPlan, planCopies } from './copies.ts';
import { drillApplication } from './application/run.ts';
import { documentOf } from './document-of.ts';
import { endScratch, problemOf } from './ending.ts';
import { GATE } from './gate.ts';
import type { DrillMarks } from './marks.ts';
import { playCopies, type Played } from './play.ts';
import { deadDrills, endDead, record } from './record.ts';
import { serverTime } from './remove.ts';
import { REACH, rightsToDrill } from './rights.ts';
import type { DrillOptions, DrillParts } from './parts.ts';
import type { DrillSource } from './source.ts';
import { sweep } from './sweep.ts';

/**
 * One drill: copies of the data in scratch namespaces, judged by their sidecars, and removed again. Whatever
 * happens after the first namespace, nothing of it is left when this resolves, or the result says what.
 *
 * @param signal the user's interruption
 * @throws QuiesceError if it ended before anything was made; later failures are in the document
 */
export async function runDrill(
  parts: DrillParts,
  options: DrillOptions,
  signal: AbortSignal,
): Promise<DrillRun> {
  const stop = new AbortController();
  const end = stopWith(stop, options.timeoutMs, signal);
  try {
    return await begun(parts, options, stop, signal);
  } catch (error) {
    throw stop.signal.aborted ? stop.signal.reason : error;
  } finally {
    end();
  }
}

async function begun(
  parts: DrillParts,
  options: DrillOptions,
  stop: AbortController,
  user: AbortSignal,
): Promise<DrillRun> {
  const { api, source } = parts;
  const { group } = source.plan;
  const { home, progress } = options;
  progress('checking what the drill needs');
  await checkRights(api, options, source);
  const id = newRunId(group, new Date());
  progress('waiting for the Lease of the application’s drills');
  // Not that of its snapshots: a drill shall not keep tonight's snapshot from its turn.
  const place = { namespace: home, group: `drill/${group}` };
  const lease = await RunLease.take(api, place, id, stop.signal);
  lease.lost.addEventListener('abort', () => stop.abort(lease.lost.reason));
  try {
    await sweepBefore(api, options, group, stop.signal);
    const now = await serverTime(api);
    const expires = new Date(now + options.expiresMs).toISOString();
    const marks = { id, group, expires };
    if (options.mode === 'data') {
      return await new Drill(parts, options, { marks, now }, stop.signal, user).play();
    }
    const held = `${place.namespace}/${leaseName(place.group)}`;
    return await drillApplication({
      ...parts,
      marks,
      lease: held,
      options,
      stop: stop.signal,
      user,
    });
  } finally {
    await lease.release();
  }
}

async function checkRights(
  api: ObjectApi,
  { home, mode }: DrillOptions,
  source: DrillSource,
): Promise<void> {
  const places = source.about.kind === 'snapshot' ? source.plan.namespaces : [];
  const rights = rightsToDrill(home, places, mode);
  const missing = await missingRights(api, rights);
  if (missing.length > 0) throw forbidden(missing, undefined, [...rights, REACH], 'quiesce-drill');
}

/** What others could not remove does not keep this drill from its own work. */
async function sweepBefore(
  api: ObjectApi,
  { home, progress, say }: DrillOptions,
  group: string,
  signal: AbortSignal,
): Promise<void> {
  const dead = await deadDrills(api, home, group);
  const limit = abortedWithin(60_000, signal);
  try {
    const ids = dead.map(({ id }) => id);
    const { left } = await sweep(api, ids, progress, limit);
    const gone = dead.filter(({ id }) => left.every((one) => one.id !== id));
    await endDead(api, home, gone);
    for (const { id, objects } of left) {
      say(`The drill ${id} has left ${objects.slice(0, 3).join(', ')}, which are not gone yet.`);
    }
  } catch (error) {
    signal.throwIfAborted();
    say(`What earlier drills left could not be removed: ${(error as Error).message}`);
  }
}

class Drill {
  readonly #parts: DrillParts;
  readonly #options: DrillOptions;
  readonly #marks: DrillMarks;
  /** The API server's time at the start. */
  readonly #now: number;
  readonly #stop: AbortSignal;
  readonly #user: AbortSignal;
  readonly #startedAt = new Date();
  readonly #begun = performance.now();
  readonly #problems: RestoreProblem[];

  constructor(
    parts: DrillParts,
    options: DrillOptions,
    { marks, now }: { readonly marks: DrillMarks; readonly now: number },
    stop: AbortSignal,
    user: AbortSignal,
  ) {
    this.#parts = parts;
    this.#options = options;
    this.#marks = marks;
    this.#now = now;
    this.#stop = stop;
    this.#user = user;
    this.#problems = [...parts.source.problems];
  }

  async play(): Promise<DrillRun> {
    const { api } = this.#parts;
    const { home } = this.#options;
    const marks = this.#marks;
    const plan = await this.#plan(marks);
    await checkVolumes(api, plan.volumes);
    await record(api, home, this.#document(plan, undefined));
    let played: Played | undefined;
    try {
      played = await playCopies(this.#parts, plan, marks, this.#watch());
    } catch (error) {
      this.#problems.push(problemOf(this.#stop.aborted ? this.#stop.reason : error));
    }
    if (this.#stop.aborted && played !== undefined)
      this.#problems.push(problemOf(this.#stop.reason));
    const removed = await this.#remove(plan);
    const run = this.#document(plan, { played, removed });
    await record(api, home, run);
    return run;
  }

  async #plan(marks: Parameters<typeof planCopies>[1]['marks']): Promise<CopyPlan> {
    const { api, source } = this.#parts;
    const { check, image, scratch, storageClasses, withoutIsolation, timeoutMs } = this.#options;
    const plan = planCopies(source, {
      marks,
      check,
      image,
      scratch,
      storageClasses,
      snapshotClasses: await snapshotClassesOf(api),
      ...(!withoutIsolation && { gate: { ...GATE, addresses: source.addresses } }),
      activeSeconds: Math.ceil(timeoutMs / 1_000) + 60,
    });
    if (plan.copies.length > 0) return plan;
    const why = plan.members.flatMap(({ doubts }) => doubts.map(({ message }) => ` ${message}`));
    const text = `${source.about.name} has no data that a drill could prove.${why.slice(0, 3).join('')}`;
    throw new QuiesceError('DRILL_NO_SOURCE', text);
  }

  #watch() {
    const { progress, check, withoutIsolation } = this.#options;
    return {
      progress,
      deep: check === 'content',
      isolated: !withoutIsolation,
      sinceStart: () => Math.round(performance.now() - this.#begun),
      signal: this.#stop,
    };
  }

  async #remove(plan: CopyPlan): Promise<boolean | undefined> {
    const { keepScratch: keep, progress, say } = this.#options;
    const names = [...plan.namespaces.values()];
    const interrupted = this.#user.aborted;
    const ending = { id: this.#marks.id, names, keep, interrupted, progress, say };
    return await endScratch(this.#parts.api, ending, this.#problems);
  }

  #document(
    plan: CopyPlan,
    end: { readonly played: Played | undefined; readonly removed: boolean | undefined } | undefined,
  ): DrillRun {
    const { source } = this.#parts;
    return documentOf({
      id: this.#marks.id,
      source,
      plan,
      startedAt: this.#startedAt,
      serverStart: this.#now,
      problems: this.#problems,
      deep: this.#options.check === 'content',
      ...(end !== undefined && { end }),
    });
  }
}

/** Aborts for the first of: the user, the time. @returns what ends the watch */
function stopWith(stop: AbortController, timeoutMs: number, signal: AbortSignal): () => void {
  const interrupted = (): void =>
    stop.abort(new QuiesceError('RUN_INTERRUPTED', 'A signal ended the drill.'));
  if (signal.aborted) interrupted();
  signal.addEventListener('abort', interrupted);
  const late = setTimeout(() => {
    const text = `The drill was not done within ${formatDuration(timeoutMs)}.`;
    stop.abort(new QuiesceError('RUN_TOO_LATE', text, { hint: 'Raise --timeout.' }));
  }, timeoutMs);
  return () => {
    clearTimeout(late);
    signal.removeEventListener('abort', interrupted);
  };
}
