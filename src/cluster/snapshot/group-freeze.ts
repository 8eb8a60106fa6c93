import { toQuiesceError } from '../../errors.ts';
import { unlessAborted, withDeadline } from '../../lib/deadline.ts';
import type { Receipt } from '../../receipt/receipt.ts';
import type { MemberRef } from '../plan/document.ts';
import { each } from '../api/objects.ts';
import type { RunProblem } from './document.ts';
import { type Sidecar, SidecarFailure } from '../run/sidecars.ts';
import type { Mark, Steps } from './steps.ts';

/** A pod that a run freezes. */
export interface Target {
  readonly member: MemberRef;
  readonly pod: string;
  readonly sidecar: Sidecar;
  /** Writers wait while it is held. */
  readonly blocks: boolean;
  /** Higher ones first, where not all are asked at once. */
  readonly priority: number;
}

/** What became of the freeze of one target. */
export interface Freeze {
  readonly target: Target;
  frozenAsked?: Mark;
  /** When the sidecar's answer was here. */
  frozen?: Mark;
  /** Verdict `held`. */
  held?: Receipt;
  thawAsked?: Mark;
  thawed?: Mark;
  /** The final receipt, of any verdict. */
  final?: Receipt;
  problem?: RunProblem;
}

export interface GroupOrder {
  readonly id: string;
  readonly ttlMs?: number | undefined;
  /** Until every freeze must be in place. */
  readonly timeoutMs: number;
}

/** How many sidecars are asked at a time. */
const AT_ONCE = 100;
/** What an answer may take on its way, in addition to the timeout of a freeze. */
const GRACE_MS = 3_000;
const THAW_WITHIN_MS = 25_000;
/** Shorter: a verb that was interrupted has half a minute until it is killed. */
const RELEASE_WITHIN_MS = 10_000;
/** How often a release is tried before the lease of the sidecar has to end it. */
const RELEASES = 3;

/** The freezes of one run, all with its id. */
export class GroupFreeze {
  readonly freezes: readonly Freeze[];
  readonly #order: GroupOrder;
  readonly #steps: Steps;
  /** Calls that may still freeze something. */
  readonly #pending = new Map<Freeze, Promise<unknown>>();

  constructor(targets: readonly Target[], order: GroupOrder, steps: Steps) {
    this.#order = order;
    this.#steps = steps;
    this.freezes = targets
      .toSorted((a, b) => b.priority - a.priority)
      .map((target): Freeze => ({ target }));
  }

  /**
   * Freezes all, those that block no writer first. At the first failure it stops and rejects; the caller
   * must then call `abandon`.
   */
  async freeze(signal: AbortSignal): Promise<void> {
    const deadline = performance.now() + this.#order.timeoutMs;
    const failed = new AbortController();
    const stop = AbortSignal.any([signal, failed.signal]);
    for (const blocks of [false, true]) {
      const turn = this.freezes.filter(({ target }) => target.blocks === blocks);
      await each(
        turn,
        async (one) => {
          if (stop.aborted) return;
          await this.#freezeOne(one, deadline, stop).catch((error: unknown) => {
            failed.abort(error);
          });
        },
        AT_ONCE,
      );
      stop.throwIfAborted();
    }
  }

  async #freezeOne(freeze: Freeze, deadline: number, stop: AbortSignal): Promise<void> {
    const { id, ttlMs } = this.#order;
    const timeoutMs = Math.max(1, Math.round(deadline - performance.now()));
    freeze.frozenAsked = this.#steps.mark();
    // Not ended by a failure elsewhere: a command in a pod goes on without its caller, and only its end
    // tells whether it froze. The release ends it at the sidecar.
    const late = AbortSignal.timeout(timeoutMs + GRACE_MS);
    const call = freeze.target.sidecar.freeze({ id, ttlMs, timeoutMs }, late);
    this.#pending.set(freeze, call);
    try {
      freeze.held = await unlessAborted(call, stop);
      freeze.frozen = this.#steps.mark();
      this.#pending.delete(freeze);
    } catch (error) {
      if (stop.aborted) throw error;
      const problem = problemOf(error, freeze.target, late.aborted ? 'freeze' : undefined);
      freeze.problem = this.#explained(problem, freeze);
      throw new SidecarFailure(freeze.problem, undefined, error);
    }
  }

  /** What the sidecar of one pod advises does not help if this run itself holds others of the same set. */
  #explained(problem: RunProblem, { target: { member } }: Freeze): RunProblem {
    const pods = this.freezes.filter(({ target }) => isSame(target.member, member));
    if (problem.code !== 'ENGINE_MAJORITY' || pods.length < 2) return problem;
    const { kind, name, namespace } = member;
    return {
      ...problem,
      hint: `The run froze others of ${namespace} ${kind}/${name}, too, and they cannot all be held at once. Back up one of them, a secondary: label the pods and claims of the others velero.io/exclude-from-backup: "true".`,
    };
  }

  /** Thaws all, those that block writers first, and keeps each verdict. Never rejects. */
  async thaw(): Promise<void> {
    for (const blocks of [true, false]) {
      const turn = this.freezes.filter(({ target }) => target.blocks === blocks);
      await each(turn, (one) => this.#thawOne(one), AT_ONCE);
    }
  }

  async #thawOne(freeze: Freeze): Promise<void> {
    const { target } = freeze;
    const late = AbortSignal.timeout(THAW_WITHIN_MS);
    freeze.thawAsked = this.#steps.mark();
    try {
      freeze.final = await unlessAborted(target.sidecar.thaw(this.#order.id, late), late);
      freeze.thawed = this.#steps.mark();
    } catch (error) {
      if (error instanceof SidecarFailure && error.receipt !== undefined) {
        freeze.final = error.receipt;
        freeze.thawed = this.#steps.mark();
      }
      freeze.problem = problemOf(error, target, late.aborted ? 'thaw' : undefined);
    }
  }

  /**
   * Releases all that this run may hold, and nothing of anybody else: the sidecars compare the id. Those
   * that block writers first. Never rejects.
   *
   * @returns what may still be frozen
   */
  async abandon(): Promise<readonly RunProblem[]> {
    const asked = this.freezes.filter((one) => one.frozenAsked && one.final === undefined);
    const problems: RunProblem[] = [];
    for (const blocks of [true, false]) {
      const turn = asked.filter(({ target }) => target.blocks === blocks);
      const left = await each(turn, (one) => this.#abandonOne(one), AT_ONCE);
      problems.push(...left.flatMap((one) => one ?? []));
    }
    return problems;
  }

  async #abandonOne(freeze: Freeze): Promise<RunProblem | undefined> {
    const pending = this.#pending.get(freeze);
    freeze.thawAsked ??= this.#steps.mark();
    const error = await this.#release(freeze);
    if (pending === undefined) return error;
    // A freeze that was still on its way may have come after the release.
    const never = await withDeadline(RELEASE_WITHIN_MS, pending).then(
      () => false,
      (reason: unknown) => reason instanceof SidecarFailure,
    );
    return never && error === undefined ? undefined : await this.#release(freeze);
  }

  async #release(freeze: Freeze): Promise<RunProblem | undefined> {
    const { target } = freeze;
    const late = AbortSignal.timeout(RELEASE_WITHIN_MS);
    for (let tries = 1; ; tries += 1) {
      try {
        await unlessAborted(target.sidecar.abandon(this.#order.id, late), late);
        freeze.thawed = this.#steps.mark();
        return undefined;
      } catch (error) {
        if (tries < RELEASES && !late.aborted) continue;
        const { message } = problemOf(error, target, late.aborted ? 'thaw' : undefined);
        return {
          code: 'MEMBER_NOT_THAWED',
          message: `${nameOf(target)} may still be frozen: ${message}`,
          hint: `Its lease ends the freeze. At once: quiesce thaw --abandon --id ${this.#order.id} in its container.`,
        };
      }
    }
  }
}

export function isSame(a: MemberRef, b: MemberRef): boolean {
  return a.namespace === b.namespace && a.kind === b.kind && a.name === b.name;
}

export function nameOf({ member, pod }: Pick<Target, 'member' | 'pod'>): string {
  const { namespace, kind, name } = member;
  return `${namespace} ${kind}/${name} (pod ${pod})`;
}

/** The failure of one target in its sidecar's own code, words and hint. */
export function problemOf(
  error: unknown,
  target: Pick<Target, 'member' | 'pod'>,
  late?: 'freeze' | 'thaw' | 'answer',
): RunProblem {
  if (late !== undefined) {
    const message = `${nameOf(target)}: its sidecar gave no ${late === 'answer' ? late : `answer to the ${late}`} in time.`;
    return { code: late === 'freeze' ? 'FREEZE_TIMEOUT' : 'RUN_TOO_LATE', message };
  }
  if (error instanceof SidecarFailure) {
    const { code, message, hint } = error;
    // A person reads whose freeze it is in the sidecar's words.
    const held = code === 'FREEZE_HELD';
    return {
      code: held ? 'MEMBER_HELD' : code,
      message: `${nameOf(target)}: ${message}`,
      ...(hint !== undefined && { hint }),
    };
  }
  const { code, message, hint } = toQuiesceError(error);
  return { code, message: `${nameOf(target)}: ${message}`, hint };
}
