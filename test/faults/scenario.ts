import { setTimeout as sleep } from 'node:timers/promises';
import { type Receipt, receiptSchema } from '../../src/receipt/receipt.ts';
import { Calls } from './calls.ts';
import { Copying } from './copying.ts';
import { inject, type Injected } from './inject.ts';
import type { Anchor, CallKind, PlannedBackup } from './callers.ts';
import type { Plan, PlannedFault } from './plan.ts';
import { Pulse } from './pulse.ts';
import { type By, type Called, mayEnd, type RunRecord } from './records.ts';
import type { RunLog } from './run-log.ts';
import type { Rig } from './rig.ts';

/** Plays one plan on the rig: freeze, hold, cut, thaw, with the faults and calls planned for it. */
export class Scenario {
  readonly calls: Calls;
  readonly #rig: Rig;
  readonly #plan: Plan;
  readonly #log: RunLog;
  readonly #pulse: Pulse;
  readonly #copying: Copying;
  readonly #injected: Injected[] = [];
  readonly #cuts: Promise<void>[] = [];
  readonly #acts: Promise<unknown>[] = [];
  /** The receipts that the sidecar had on record before the run. */
  #known: ReadonlySet<string> = new Set();
  #over = false;

  constructor(rig: Rig, plan: Plan, log: RunLog) {
    this.#rig = rig;
    this.#plan = plan;
    this.#log = log;
    this.calls = new Calls(rig, log);
    this.#copying = new Copying(rig, log);
    this.#pulse = new Pulse(() => rig.database.writes());
  }

  get record(): RunRecord {
    const faults = this.#plan.faults.map(
      (fault) =>
        this.#injected.find((done) => done.kind === fault.kind && done.step === fault.step) ?? {
          kind: fault.kind,
          step: fault.step,
          at: 'missed' as const,
        },
    );
    return {
      calls: this.calls.made,
      copies: this.#copying.cut,
      injected: faults,
      ends: this.#log.all('freeze ended'),
      stillMs: this.#pulse.stillMs,
    };
  }

  /** Resolves when every call has returned and every fault that was injected is over. */
  async play(): Promise<void> {
    const { faults, calls, cuts, holdMs, thaw, thawAfterFailure, others } = this.#plan;
    this.#known = new Set((await this.#receipts()).map(nameOf));
    for (const fault of faults) this.#when(fault, () => this.#fault(fault));
    for (const call of calls) this.#when(call, () => this.#call(call.kind));
    for (const [at, other] of others.entries()) {
      this.#when(other, () => this.#backup(other, `other-${at}`));
    }
    for (const [at, cut] of cuts.entries()) this.#when(cut, () => this.#cut(at === 0));
    const frozen = await this.#hook('freeze');
    await sleep(holdMs);
    if (frozen.ok) await Promise.all(this.#cuts);
    else if (thawAfterFailure) await this.#copying.make('main');
    if (thaw !== 'never' && (frozen.ok || thawAfterFailure)) await this.#hook('thaw');
    await this.waitUntilIdle();
  }

  /**
   * Stops measuring and injecting. Call it at the end of every run. Resolves when faults triggered by a
   * late step of the freeze are over.
   */
  async close(): Promise<void> {
    this.#over = true;
    this.#pulse.stop();
    await Promise.allSettled(this.#acts);
  }

  /** How many acts have started: faults, cuts, and calls other than the main backup's. */
  get actions(): number {
    return this.#acts.length;
  }

  /** Resolves when all acts that have started are over. */
  async waitUntilIdle(): Promise<void> {
    for (let seen = -1; seen !== this.#acts.length;) {
      seen = this.#acts.length;
      await Promise.all(this.#acts);
    }
  }

  /** Without a delay, acts during the step itself: the observed process has not continued yet. */
  #when({ step, delayMs }: Anchor, act: () => Promise<void>): void {
    this.#log.on(step, () => {
      if (this.#over) return;
      const acting = delayMs === 0 ? act() : sleep(delayMs).then(act);
      acting.catch(() => undefined);
      this.#acts.push(acting);
    });
  }

  async #fault(fault: PlannedFault): Promise<void> {
    const at = this.#log.now;
    const entry = { kind: fault.kind, step: fault.step, at };
    this.#log.note(`! ${fault.kind} (${fault.lastsMs} ms)`);
    const index = this.#injected.push(entry) - 1;
    const hit = await inject(this.#rig, fault, this.calls.shim);
    this.#log.note(`! ${fault.kind} ${hit ? 'is over' : 'hit nothing'}`);
    this.#injected[index] = { ...entry, ...(hit ? { overAt: this.#log.now } : { at: 'missed' }) };
  }

  /** Runs a hook of the main backup. Repeats it if it got no answer and the plan says so. */
  async #hook(verb: 'freeze' | 'thaw'): Promise<Called> {
    const { id, ttlMs, timeoutMs, wait, withThawId, retries } = this.#plan;
    const asked = { id, ttlMs, timeoutMs, wait };
    const fields = verb === 'freeze' ? asked : { id: withThawId ? id : undefined };
    const wanted = { verb, by: 'main', key: this.#keyOf(verb), ...fields } as const;
    let call = await this.calls.byShim(wanted);
    // It was killed, or got no answer.
    if (retries && /^(killed|3) /.test(call.outcome)) call = await this.calls.byShim(wanted);
    if (verb === 'thaw' || call.ok) this.#log.step(`${verb} returned`);
    // A killed hook got no answer, so its backup copies nothing more.
    if (verb === 'thaw' && call.receipt) await this.#copying.complete();
    return call;
  }

  #keyOf(verb: 'freeze' | 'thaw'): string {
    return `${this.#plan.run}-${verb}`;
  }

  /** Another backup, from its freeze to its thaw. */
  async #backup(other: PlannedBackup, by: By): Promise<void> {
    const { id, ttlMs, timeoutMs, wait, retries, withThawId, holdMs, goesOn } = other;
    const { run } = this.#plan;
    const key = (verb: string): string | undefined =>
      retries ? `${run}-${by}-${verb}` : undefined;
    const asked = { id, ttlMs, timeoutMs, wait, retries, key: key('freeze') };
    const frozen = await this.calls.bySocket({ verb: 'freeze', by, ...asked });
    if (!frozen.ok && !goesOn) return;
    await this.#copying.make(by);
    await sleep(holdMs);
    const own = withThawId ? id : undefined;
    const thawed = { id: own, retries, key: key('thaw') };
    const call = await this.calls.bySocket({ verb: 'thaw', by, ...thawed });
    if (call.receipt) await this.#copying.complete();
  }

  async #call(kind: CallKind): Promise<void> {
    const { id, run, ttlMs, timeoutMs, withThawId } = this.#plan;
    const own = withThawId ? id : undefined;
    const freeze = { verb: 'freeze', by: kind, ttlMs, timeoutMs } as const;
    const thaw = { verb: 'thaw', by: kind } as const;
    const wanted = {
      'double-freeze': { ...freeze, id },
      'cross-freeze': { ...freeze, id: `${run}-cross` },
      'cross-freeze-no-id': freeze,
      renew: { ...freeze, id: id ?? `${run}-none`, renew: true },
      'early-thaw': { ...thaw, id: own },
      'double-thaw': { ...thaw, id: own },
      'foreign-thaw': { ...thaw, id: `${run}-foreign` },
      'retry-thaw': { ...thaw, id: own, key: this.#keyOf('thaw'), retries: true },
      abandon: { verb: 'abandon', by: kind, id },
      'abandon-no-id': { verb: 'abandon', by: kind },
    } as const;
    await this.calls.bySocket(wanted[kind]);
  }

  async #receipts(): Promise<Receipt[]> {
    const options = { withinMs: 5_000 };
    const reply = await this.#rig.sidecar.api('GET', '/v1/receipts', undefined, options);
    const list = (reply.body as { receipts?: readonly unknown[] }).receipts ?? [];
    return list.map((entry) => receiptSchema.parse(entry));
  }

  /**
   * Reads the sidecar's own record: a success there counts as reported even if its caller was killed.
   *
   * @returns the receipts of the freezes of this run that have ended
   */
  async readRecord(): Promise<readonly Receipt[]> {
    const receipts = await this.#receipts();
    const ours = receipts.filter((receipt) => !this.#known.has(nameOf(receipt)));
    const { made } = this.calls;
    for (const receipt of ours) {
      const heard = made.some((c) => c.verb === 'thaw' && c.ok && isOf(c, receipt));
      if (receipt.verdict === 'consistent' && !heard) this.#addRecorded(receipt);
    }
    return ours.filter(({ verdict }) => verdict !== 'held');
  }

  #addRecorded(receipt: Receipt): void {
    const { id } = receipt;
    const [asked] = this.calls.made
      .filter((c) => c.verb === 'thaw' && mayEnd(c, id))
      .toSorted((a, b) => a.calledAt - b.calledAt);
    const now = this.#log.now;
    const { calledAt, acknowledged, key } = asked ?? { calledAt: now };
    this.#log.note(`the record of the sidecar calls ${id} consistent`);
    const times = { calledAt, returnedAt: now, acknowledged };
    const outcome = asked ? 'on record' : 'on record, and no call thawed it';
    const who = { verb: 'thaw', by: 'record', id, key, ttlMs: undefined } as const;
    this.calls.made.push({ ...who, ok: true, outcome, receipt, ...times });
  }

  async #cut(mains: boolean): Promise<void> {
    const cut = this.#copying.make(mains ? 'main' : undefined);
    if (mains) this.#cuts.push(cut);
    await cut;
  }
}

/** Identifies a freeze, even one that never held. */
function nameOf({ id, requestedAt }: Receipt): string {
  return `${id} ${requestedAt}`;
}

function isOf({ receipt }: Called, { id, requestedAt }: Receipt): boolean {
  return receipt?.id === id && receipt.requestedAt === requestedAt;
}
