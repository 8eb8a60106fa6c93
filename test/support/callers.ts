import { initialLease, interruptedLease, reduce } from '../../src/freeze/lease.ts';
import { lateThawOf } from '../../src/freeze/left-open.ts';
import type {
  Command,
  LeaseEvent,
  LeaseState,
  Owner,
  Reply,
} from '../../src/freeze/lease-types.ts';
import { fromPersisted, toPersisted } from '../../src/freeze/persisted-due.ts';
import type { FreezeRun } from '../../src/freeze/freeze-run.ts';

export const TTL = 100;

/** An act of a caller. Callers do not know of each other. */
export type Act =
  | { readonly do: 'freeze'; readonly who: number; readonly fate: 'held' | 'fails' | 'gone' }
  /** A retry of the same call by a caller that did not get the refusal. */
  | { readonly do: 'retry'; readonly who: number }
  | { readonly do: 'thaw'; readonly who: number }
  | { readonly do: 'renew'; readonly who: number }
  | { readonly do: 'abandon'; readonly who: number | null }
  /** An operator without a copy thaws the open freeze, without --abandon. */
  | { readonly do: 'hand' }
  | { readonly do: 'lose' }
  | { readonly do: 'restart' }
  /** The sidecar dies, and its state directory is lost. */
  | { readonly do: 'forget' };

/** The ids of a caller's freezes: each its own, one for all callers, or none. */
export type Naming = 'unique' | 'shared' | 'none';

/** One copy of one caller, from its freeze to its thaw. */
interface Copy {
  readonly id: string | undefined;
  readonly key: string;
  answer: 'held' | 'refused' | 'failed';
  /** The moment at which it was cut, between the answer to the freeze and the thaw. */
  cutAt: number | null;
  /** The time from which the thaw is later than it is expected. */
  lateFrom: number;
  /** The number of holds when it was refused; `null` once the freeze that was open then has ended. */
  refusedUnder: number | null;
  /** The freeze was never in place, so a later one with its id counts as its next try. */
  nextTry: boolean;
}

/** A hold as an observer of the server sees it, without the lease. Moments are counted, not timed. */
interface Held {
  readonly id: string;
  readonly from: number;
  until: number | null;
}

/** A success that a caller got, and whether its copy was cut inside the hold. */
export interface Success {
  readonly who: number;
  readonly cutInside: boolean;
  /** This thaw or an earlier one was later than expected, or its freeze had been taken for an earlier try of another. */
  readonly excused: boolean;
}

/**
 * Plays callers against the lease, with an engine that releases immediately. Each caller freezes, cuts its
 * copy and thaws, as Velero's hooks do with on-error: Continue, even if its freeze was refused or failed,
 * or its answer never arrived.
 */
export class Callers {
  readonly successes: Success[] = [];
  readonly #naming: readonly Naming[];
  readonly #copies = new Map<number, Copy>();
  #state: LeaseState = initialLease;
  #now = 1_000;
  #moment = 0;
  #excused = false;
  #count = 0;
  #holds: Held[] = [];
  #ids = new Set<string>();

  constructor(naming: readonly Naming[]) {
    this.#naming = naming;
  }

  play(steps: readonly { readonly wait: number; readonly act: Act }[]): readonly Success[] {
    for (const { wait, act } of steps) {
      this.#now += wait;
      this.#send({ type: 'tick' });
      this.#act(act);
    }
    return this.successes;
  }

  #act(act: Act): void {
    switch (act.do) {
      case 'freeze':
        return this.#freeze(act.who, act.fate);
      case 'retry':
        return this.#retry(act.who);
      case 'thaw':
        return this.#thaw(act.who);
      case 'renew':
        return this.#renew(act.who);
      case 'abandon':
        this.#send({ type: 'abandon', id: this.#idOf(act.who) });
        return undefined;
      case 'hand':
        this.#send({ type: 'thaw', id: undefined });
        // It counts for an expected thaw, unless every caller has its own ids.
        this.#excused ||= this.#naming.some((naming) => naming !== 'unique');
        return undefined;
      case 'lose':
        this.#send({ type: 'lost' });
        return undefined;
      case 'restart':
        return this.#restart();
      case 'forget':
        this.#restart();
        this.#state = initialLease;
        this.#ids.clear();
        this.#excused ||= this.#naming.some((naming) => naming !== 'unique');
        return undefined;
    }
  }

  #idOf(who: number | null): string | undefined {
    return who === null ? undefined : this.#copies.get(who)?.id;
  }

  #retry(who: number): void {
    const copy = this.#copies.get(who);
    if (!copy || copy.answer !== 'refused') return;
    copy.cutAt = null;
    this.#ask(copy, 'held');
  }

  #freeze(who: number, fate: 'held' | 'fails' | 'gone'): void {
    if (this.#copies.has(who)) return;
    const copy: Copy = {
      id: this.#nameFor(who),
      key: `key-${(this.#count += 1)}`,
      answer: 'refused',
      cutAt: null,
      lateFrom: Infinity,
      refusedUnder: null,
      nextTry: false,
    };
    this.#copies.set(who, copy);
    this.#ask(copy, fate);
  }

  #ask(copy: Copy, fate: 'held' | 'fails' | 'gone'): void {
    const { id, key } = copy;
    const made = id ?? `made-${(this.#count += 1)}`;
    const before = this.#state;
    const shared = this.#ids.has(made);
    const named = id !== undefined;
    const freeze = { type: 'freeze', id: made, named, shared, key } as const;
    const reply = this.#send({ ...freeze, ttlMs: TTL, timeoutMs: TTL / 2 });
    copy.nextTry = false;
    if (reply.type === 'refused') {
      copy.refusedUnder = this.#holds.length;
      copy.lateFrom = Infinity;
      copy.nextTry = named && !shared && 'id' in before && before.id !== made;
      return;
    }
    copy.refusedUnder = null;
    copy.lateFrom = this.#now + TTL;
    if (fate === 'held') this.#ids.add(made);
    for (const other of this.#copies.values()) {
      // A freeze that failed, or was refused while another id was held, and whose id comes again.
      if (other !== copy && other.nextTry && other.id === id && !(named && shared)) {
        other.lateFrom = -Infinity;
      }
    }
    if (fate !== 'held') {
      this.#send({ type: fate === 'gone' ? 'gone' : 'failed' });
      copy.answer = 'failed';
      copy.nextTry = true;
      return;
    }
    copy.answer = 'held';
    this.#send({ type: 'held', heldAt: this.#now });
    copy.lateFrom = this.#now + 2 * TTL;
  }

  #nameFor(who: number): string | undefined {
    const naming = this.#nameOf(who);
    if (naming === 'none') return undefined;
    return naming === 'shared' ? 'nightly' : `own-${who}-${(this.#count += 1)}`;
  }

  #nameOf(who: number): Naming {
    return this.#naming[who % this.#naming.length] ?? 'none';
  }

  #renew(who: number): void {
    const copy = this.#copies.get(who);
    if (copy?.id === undefined || this.#nameOf(who) !== 'unique') return;
    const reply = this.#send({ type: 'renew', id: copy.id, ttlMs: TTL });
    if (reply.type === 'renewed') copy.lateFrom = this.#now + 2 * TTL;
  }

  #thaw(who: number): void {
    const copy = this.#copies.get(who);
    if (!copy) return;
    this.#copies.delete(who);
    copy.cutAt ??= this.#moment += 1;
    // A thaw that comes too late may count for another caller's.
    this.#excused ||= this.#now >= copy.lateFrom && this.#nameOf(who) !== 'unique';
    const before = this.#holds.at(-1);
    const reply = this.#send({ type: 'thaw', id: copy.id });
    if (reply.type !== 'ends' || this.#verdict !== true) return;
    const hold = before as Held;
    const cutInside = hold.from < copy.cutAt && copy.cutAt < (hold.until ?? 0);
    this.successes.push({ who, cutInside, excused: this.#excused });
  }

  /** Cuts all copies that are not cut yet. */
  cutAll(): void {
    for (const copy of this.#copies.values()) copy.cutAt ??= this.#moment += 1;
  }

  #verdict: boolean | undefined;

  #send(event: LeaseEvent): Reply {
    const { state, commands, reply } = reduce(this.#state, event, this.#now);
    const was = this.#state.phase;
    this.#state = state;
    this.#verdict = undefined;
    if (was !== 'frozen' && state.phase === 'frozen') {
      this.#holds.push({ id: state.id, from: (this.#moment += 1), until: null });
    }
    if (commands.some(({ type }) => type !== 'make-hold')) this.#released(commands);
    return reply;
  }

  #released(commands: readonly Command[]): void {
    if (this.#state.phase !== 'thawing') return;
    const hold = this.#holds.at(-1);
    if (hold && commands.some(({ type }) => type === 'release')) hold.until ??= this.#moment += 1;
    const { state, reply } = reduce(this.#state, { type: 'released', evidence: [] }, this.#now);
    this.#state = state;
    if (reply.type === 'verdict') this.#verdict = reply.verdict.consistent;
    for (const copy of this.#copies.values()) {
      if (copy.refusedUnder === null) continue;
      copy.refusedUnder = null;
      copy.lateFrom = Math.min(copy.lateFrom, this.#now + TTL);
    }
  }

  /** The sidecar dies, and the next one reads its state. */
  #restart(): void {
    const clock = { now: this.#now, wallNow: 1_700_000_000_000 + this.#now };
    const due = fromPersisted(toPersisted(this.#state.due, clock), clock);
    const state = this.#state;
    if (state.phase === 'thawed') {
      this.#state = { ...initialLease, last: state.last, due };
      return;
    }
    const owner: Owner = { id: state.id, named: state.named };
    const at = (ms: number): string => new Date(clock.wallNow + ms - this.#now).toISOString();
    const held = state.phase === 'frozen';
    const receipt = {
      frozenAt: held ? at(state.expiresAt - TTL) : null,
      expiresAt: held ? at(state.expiresAt) : null,
    } as FreezeRun['receipt'];
    const late = lateThawOf({ owner, receipt }, clock);
    this.#state = interruptedLease(owner, [...due, ...late]);
    this.#released([{ type: 'release', id: state.id, cause: 'interrupted' }]);
  }

  get state(): LeaseState {
    return this.#state;
  }
}
