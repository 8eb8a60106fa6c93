import { setTimeout as sleep } from 'node:timers/promises';
import { QuiesceError } from '../../errors.ts';
import { formatDuration } from '../../lib/duration.ts';
import { each, type ObjectApi } from '../api/objects.ts';
import type { Health } from '../health/state.ts';
import type { PlanMember } from '../plan/document.ts';
import type { RestoredMember, RestoreProblem } from './document.ts';
import type { SoFar } from './documents.ts';
import { keyOf, mapPlan } from './mapped.ts';
import { markNamespace, unmarkNamespace } from './namespaces.ts';
import { liftGates, type StagedNamespace } from './pods.ts';
import { proveGates } from './probe.ts';
import { goOn } from './go-on.ts';
import type { Source, SourceState, Target } from './source.ts';
import { StageBook } from './stages-of.ts';
import {
  beginWalk,
  inLayer,
  keptBack,
  nextStep,
  observe,
  releaseNext,
  type Walk,
  type WalkRules,
  waitingFor,
} from './walk.ts';

export interface StagedParts {
  readonly api: ObjectApi;
  readonly health: Health;
  readonly source: Source;
}

/** Where a run goes, and what is known of it from before it was stopped. */
export interface StagedTarget extends Target {
  /** `NAMESPACE/NAME` of the Lease that the run holds. */
  readonly lease: string;
  readonly released?: ReadonlySet<number>;
  readonly times?: SoFar['times'];
  readonly timelines?: ReadonlyMap<string, RestoredMember['timeline']>;
}

export interface StagedOptions {
  readonly rules: WalkRules;
  readonly lookEveryMs: number;
  /** Milliseconds since the start of the run, by a monotonic clock. */
  sinceStart(): number;
  /** One line that is redrawn. */
  progress(sentence: string): void;
  /** One line for each step. */
  say(sentence: string): void;
  /** Called after each step: to record it. */
  changed(so: SoFar): Promise<void>;
}

/** How long the API server may be away. The Lease ends the run sooner if it cannot be renewed. */
const AWAY_MS = 120_000;
/** How long members that were healthy may take to be so at the end, all at once. */
const SETTLE_MS = 60_000;

/**
 * Restores layer by layer into namespaces that exist. It may be called again with the same id after it was
 * stopped anywhere: every step looks at what is there.
 *
 * @returns how far it came; the walk says what has failed
 * @throws QuiesceError if it could not go on, such as with the reason of the signal; `so` has how far it came
 */
export class StagedRun {
  readonly #parts: StagedParts;
  readonly #target: StagedTarget;
  readonly #options: StagedOptions;
  readonly #book: StageBook;
  readonly #released: Set<number>;
  readonly #times: { startedAt?: string; healthyAt?: string }[];
  readonly #problems: RestoreProblem[] = [];
  #walk: Walk;
  #source: SourceState | undefined;

  constructor(parts: StagedParts, target: StagedTarget, options: StagedOptions) {
    this.#parts = parts;
    this.#target = target;
    this.#options = options;
    this.#book = new StageBook(parts.source);
    this.#released = new Set(target.released);
    const plan = mapPlan(parts.source.plan, target.namespaces);
    this.#walk = beginWalk(plan, options.rules, target.timelines);
    this.#times = plan.layers.map((_, index) => ({ ...target.times?.[index] }));
  }

  get so(): SoFar {
    const problems = [...this.#problems, ...(this.#source?.problems ?? [])];
    return { walk: this.#walk, times: this.#times, problems };
  }

  /** Holds back what the source will create, proves that it is held back, and begins. */
  async begin(signal: AbortSignal): Promise<void> {
    const { api, source } = this.#parts;
    const { id, namespaces } = this.#target;
    this.#options.progress('holding back pods');
    await this.#mark();
    for (const name of namespaces.values()) await proveGates(api, id, name, signal);
    this.#options.progress('beginning the restore');
    await source.begin(this.#target, signal);
  }

  /** From {@link begin} to the last layer. */
  async play(signal: AbortSignal): Promise<SoFar> {
    for (;;) {
      signal.throwIfAborted();
      const step = nextStep(this.#walk);
      if (step === 'stop') return this.#leave('STOPPED_BEFORE_LAYER', this.#whereStopped());
      if (step === 'done') return await this.#finish(signal);
      if (step === 'release') await this.#release(signal);
      else await this.#wait(signal);
    }
  }

  /** Marks and gates stay as they are, so that the run can go on. */
  #leave(code: string, message: string): SoFar {
    const hint = goOn(this.#target.id);
    this.#problems.push({ code, message: `${message} Nothing was deleted.`, hint });
    return this.so;
  }

  #whereStopped(): string {
    const { layer, plan } = this.#walk;
    const left = plan.layers.length - layer - 1;
    if (left === 0) return 'A member of the last layer has failed.';
    return `A member of layer ${layer + 1} has failed, so ${left === 1 ? 'the layer after it was' : `the ${left} layers after it were`} not released.`;
  }

  async #release(signal: AbortSignal): Promise<void> {
    this.#walk = releaseNext(this.#walk, this.#options.sinceStart());
    const { layer, plan } = this.#walk;
    this.#released.add(layer);
    // With it, what is kept back moves behind all layers.
    await this.#patiently(() => this.#mark(), signal);
    const time = this.#times[layer];
    if (time !== undefined) time.startedAt ??= new Date().toISOString();
    const names = inLayer(this.#walk).map(({ member }) => `${member.kind}/${member.name}`);
    this.#options.say(`layer ${layer + 1} of ${plan.layers.length}: ${names.join(', ')}`);
    await this.#options.changed(this.so);
  }

  /** One look: lets pods go, and sees how the members of the layer stand. */
  async #wait(signal: AbortSignal): Promise<void> {
    const { sinceStart, progress, lookEveryMs, say } = this.#options;
    const current = inLayer(this.#walk).map(({ member }) => member);
    await this.#patiently(() => this.#look(current, signal), signal);
    const next = nextStep(this.#walk);
    if (next === 'wait') {
      const doing = this.#source?.done === false ? ` (${this.#source.doing})` : '';
      progress(`${waitingFor(this.#walk, sinceStart())}${doing}`);
      await sleep(lookEveryMs, undefined, { signal }).catch(() => undefined);
      return;
    }
    const { layer } = this.#walk;
    const healthy = inLayer(this.#walk).every(({ phase }) => phase === 'healthy');
    const time = this.#times[layer];
    if (healthy && time !== undefined) {
      time.healthyAt ??= new Date().toISOString();
      const took = Math.round((sinceStart() - this.#walk.releasedAt) / 100) * 100;
      say(`layer ${layer + 1} is healthy after ${formatDuration(took)}`);
    }
    await this.#options.changed(this.so);
  }

  async #look(members: readonly PlanMember[], signal: AbortSignal): Promise<void> {
    const { api, health, source } = this.#parts;
    const staged = this.#staged();
    const gated = await liftGates(api, this.#target.id, staged, this.#released);
    const [states, from] = await Promise.all([
      health.look(members, signal),
      this.#source?.done === true ? this.#source : source.state(this.#target, signal),
    ]);
    this.#source = from;
    this.#walk = observe(this.#walk, states, this.#options.sinceStart(), gated);
  }

  /** A short loss of the API server ends nothing. */
  async #patiently(step: () => Promise<unknown>, signal: AbortSignal): Promise<void> {
    const begun = performance.now();
    for (;;) {
      try {
        await step();
        return;
      } catch (error) {
        signal.throwIfAborted();
        const lost = error instanceof QuiesceError && error.code === 'CLUSTER_UNREACHABLE';
        if (!lost || performance.now() - begun > AWAY_MS) throw error;
        this.#options.progress(`waiting for the API server: ${error.message}`);
        await sleep(this.#options.lookEveryMs, undefined, { signal }).catch(() => undefined);
      }
    }
  }

  async #finish(signal: AbortSignal): Promise<SoFar> {
    const { api, source } = this.#parts;
    const { id, namespaces } = this.#target;
    await this.#settle(signal);
    const held = keptBack(this.#walk);
    this.#options.progress('letting CronJobs run again');
    this.#problems.push(...(await source.finish(this.#target, signal)));
    if (held.length > 0) {
      const message = `${held.length} members were not released, because what they depend on has failed.`;
      return this.#leave('MEMBERS_HELD_BACK', message);
    }
    await liftGates(api, id, this.#staged(), this.#released);
    for (const name of namespaces.values()) await unmarkNamespace(api, name, id);
    // One that was created while the mark went away.
    await liftGates(api, id, this.#staged(), this.#released);
    return this.so;
  }

  /** Until the source has created everything; then all members must be healthy at once. */
  async #settle(signal: AbortSignal): Promise<void> {
    const healthy = [...this.#walk.members.values()].flatMap(({ phase, member }) =>
      phase === 'healthy' ? [member] : [],
    );
    let doneAt: number | undefined;
    for (;;) {
      signal.throwIfAborted();
      await this.#patiently(() => this.#look(healthy, signal), signal);
      const done = this.#source?.done === true;
      doneAt = done ? (doneAt ?? performance.now()) : undefined;
      const whole = healthy.every((one) => {
        const state = this.#walk.members.get(keyOf(one))?.state;
        return state?.ready === true && state.judged;
      });
      if (doneAt !== undefined && (whole || performance.now() - doneAt > SETTLE_MS)) return;
      this.#options.progress(
        done ? 'looking at all members once more' : (this.#source?.doing ?? ''),
      );
      await sleep(this.#options.lookEveryMs, undefined, { signal }).catch(() => undefined);
    }
  }

  #staged(): readonly StagedNamespace[] {
    const { namespaces } = this.#target;
    const held = this.#keptBackKeys();
    return [...namespaces].map(([from, namespace]) => ({
      namespace,
      stages: this.#book.of(from, held),
    }));
  }

  async #mark(): Promise<void> {
    const { id: run, lease, namespaces } = this.#target;
    const held = this.#keptBackKeys();
    await each([...namespaces], async ([from, name]) => {
      const stages = this.#book.of(from, held);
      await markNamespace(this.#parts.api, name, { run, lease, stages, released: this.#released });
    });
  }

  /** In the words of the source. */
  #keptBackKeys(): ReadonlySet<string> {
    const back = new Map([...this.#target.namespaces].map(([from, to]) => [to, from]));
    return new Set(
      keptBack(this.#walk).map((one) =>
        keyOf({ ...one, namespace: back.get(one.namespace) ?? one.namespace }),
      ),
    );
  }
}
