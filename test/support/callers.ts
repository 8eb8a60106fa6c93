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

/** What a caller may do; callers know nothing of each other. */
export type Act =
  | { readonly do: 'freeze'; readonly who: number; readonly fate: 'held' | 'fails' | 'gone' }
  /** Of the very same call, where the caller has not heard that it was refused. */
  | { readonly do: 'retry'; readonly who: number }
  | { readonly do: 'thaw'; readonly who: number }
  | { readonly do: 'renew'; readonly who: number }
  | { readonly do: 'abandon'; readonly who: number | null }
  /** Somebody without a copy thaws what is held, without --abandon. */
  | { readonly do: 'hand' }
  | { readonly do: 'lose' }
  | { readonly do: 'restart' }
  /** The sidecar dies, and its state directory is lost. */
  | { readonly do: 'forget' };

/** How a caller names its freezes: each by an id of its own, all by the same id, or not at all. */
export type Naming = 'unique' | 'shared' | 'none';

/** One copy of one caller, from its freeze to its thaw. */
interface Copy {
  readonly id: string | undefined;
  readonly key: string;
  answer: 'held' | 'refused' | 'failed';
  /** The moment in which it was cut: after the freeze was answered, somewhere before the thaw. */
  cutAt: number | null;
  /** From then on the thaw is late by more than is waited for. */
  lateFrom: number;
  /** The freeze that refused it is open still. */
  refusedUnder: number | null;
  /** The freeze was never in place, so a later one of this name passes for its next try. */
  nextTry: boolean;
}

/** A hold as an observer sees it who knows the server and not the lease; moments are counted, not timed. */
interface Held {
  readonly id: string;
  readonly from: number;
  until: number | null;
}

/** A success that somebody was successes, and what speaks against it. */
export interface Success {
  readonly who: number;
  readonly cutInside: boolean;
  /** A thaw came later than is waited for, or its name had passed to a later freeze: this one, or before. */
  readonly excused: boolean;
}

/**
 * Plays callers against the lease, with an engine that releases at once. Each caller freezes, cuts its
 * copy and thaws, as Velero's hooks do with on-error: Continue: also where its freeze was refused or
 * failed, and where it never heard the answer.
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
        // It takes the place of a thaw that is still to come, unless every caller names its own.
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
      // A freeze that failed, or was refused under another id, and is tried again by its name.
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
    // Whoever comes too late may spoil what others are successes.
    this.#excused ||= this.#now >= copy.lateFrom && this.#nameOf(who) !== 'unique';
    const before = this.#holds.at(-1);
    const reply = this.#send({ type: 'thaw', id: copy.id });
    if (reply.type !== 'ends' || this.#verdict !== true) return;
    const hold = before as Held;
    const cutInside = hold.from < copy.cutAt && copy.cutAt < (hold.until ?? 0);
    this.successes.push({ who, cutInside, excused: this.#excused });
  }

  /** Every copy that is not cut yet is cut now. */
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

  /** The sidecar dies, and the next one reads what it has left. */
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
