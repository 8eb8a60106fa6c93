import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { type Receipt, receiptSchema } from '../../src/freeze/receipt.ts';
import { inject, type Injected } from './inject.ts';
import type { Anchor, Plan, PlannedCall, PlannedFault } from './plan.ts';
import type { Acknowledged } from './engine.ts';
import { Pulse } from './pulse.ts';
import type { Called, CutCopy, RunRecord } from './records.ts';
import { Shim } from './shim.ts';
import type { Story } from './story.ts';
import type { World } from './world.ts';

/** Plays one plan on the world: freeze, hold, cut, thaw, with all that goes wrong meanwhile. */
export class Scenario {
  readonly #world: World;
  readonly #plan: Plan;
  readonly #story: Story;
  readonly #pulse: Pulse;
  readonly #calls: Called[] = [];
  readonly #copies: CutCopy[] = [];
  readonly #injected: Injected[] = [];
  readonly #cuts: Promise<void>[] = [];
  readonly #under: Promise<unknown>[] = [];
  #over = false;
  #shim: Shim | undefined;

  constructor(world: World, plan: Plan, story: Story) {
    this.#world = world;
    this.#plan = plan;
    this.#story = story;
    this.#pulse = new Pulse(() => world.database.writes());
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
      calls: this.#calls,
      copies: this.#copies,
      injected: faults,
      stillMs: this.#pulse.stillMs,
    };
  }

  /** Resolves when every call has returned and every fault that was injected is over. */
  async play(): Promise<void> {
    const { faults, calls, cuts, holdMs, thaw, thawAfterFailure } = this.#plan;
    for (const fault of faults) this.#when(fault, () => this.#fault(fault));
    for (const call of calls) this.#when(call, () => this.#call(call));
    for (const cut of cuts) this.#when(cut, () => this.#cut());
    const frozen = await this.#hook('freeze');
    await sleep(holdMs);
    if (frozen.ok) await Promise.all(this.#cuts);
    if (thaw !== 'never' && (frozen.ok || thawAfterFailure)) await this.#hook('thaw');
    await this.#settle();
  }

  /**
   * Nothing more is measured or struck; to be called at the end of a run, whatever became of it. What
   * a late step of the freeze has still struck is over when it resolves.
   */
  async close(): Promise<void> {
    this.#over = true;
    this.#pulse.stop();
    await Promise.allSettled(this.#under);
  }

  async #settle(): Promise<void> {
    for (let seen = -1; seen !== this.#under.length;) {
      seen = this.#under.length;
      await Promise.all(this.#under);
    }
  }

  /** Acts at the step itself where there is no delay: the one who is watched has not gone on yet. */
  #when({ step, delayMs }: Anchor, act: () => Promise<void>): void {
    this.#story.on(step, () => {
      if (this.#over) return;
      const acting = delayMs === 0 ? act() : sleep(delayMs).then(act);
      acting.catch(() => undefined);
      this.#under.push(acting);
    });
  }

  async #fault(fault: PlannedFault): Promise<void> {
    const at = this.#story.now;
    const entry = { kind: fault.kind, step: fault.step, at };
    this.#story.tell(`! ${fault.kind} (${fault.lastsMs} ms)`);
    const index = this.#injected.push(entry) - 1;
    const hit = await inject(this.#world, fault, this.#shim);
    this.#story.tell(`! ${fault.kind} ${hit ? 'is over' : 'hit nothing'}`);
    this.#injected[index] = { ...entry, ...(hit ? { overAt: this.#story.now } : { at: 'missed' }) };
  }

  async #hook(verb: 'freeze' | 'thaw'): Promise<Called> {
    const { id, ttlMs, timeoutMs, withThawId } = this.#plan;
    const freeze = ['--id', id, '--ttl', `${ttlMs}ms`, '--timeout', `${timeoutMs}ms`];
    const args = verb === 'freeze' ? freeze : withThawId ? ['--id', id] : [];
    const acknowledged = await this.#acknowledged();
    const calledAt = this.#story.now;
    this.#shim = new Shim([verb, ...args], this.#world.sidecar.socket);
    this.#story.step(`${verb} called`);
    const end = await this.#shim.done;
    this.#shim = undefined;
    const ok = end.code === 0;
    const outcome = `${end.code ?? 'killed'} ${/"code":"(\w+)"/.exec(end.stdout)?.[1] ?? ''}`;
    const named = verb === 'freeze' || withThawId ? id : undefined;
    const { receipt } = end;
    const returnedAt = this.#story.now;
    const times = { calledAt, returnedAt, acknowledged };
    const call: Called = { verb, by: 'main', id: named, ok, outcome, receipt, ...times };
    this.#story.tell(`${verb} by main: ${outcome} ${end.stderr.trim()}`);
    this.#calls.push(call);
    if (verb === 'thaw' || ok) this.#story.step(`${verb} returned`);
    // Whoever was killed has heard nothing, and copies nothing more.
    if (verb === 'thaw' && receipt) await this.#complete();
    return call;
  }

  async #acknowledged(): Promise<Acknowledged | undefined> {
    return await this.#world.database.acknowledged().catch((error: unknown) => {
      this.#story.tell(`what is acknowledged is not known: ${String(error)}`);
      return undefined;
    });
  }

  async #call({ kind }: PlannedCall): Promise<void> {
    const { id, ttlMs, timeoutMs, withThawId } = this.#plan;
    const own = withThawId ? id : undefined;
    const asked = { ttl: `${ttlMs}ms`, timeout: `${timeoutMs}ms` };
    switch (kind) {
      case 'double-freeze':
      case 'renew':
        return await this.ask('freeze', kind, id, asked);
      case 'cross-freeze':
        return await this.ask('freeze', kind, `${id}-cross`, asked);
      case 'cross-freeze-no-id':
        return await this.ask('freeze', kind, undefined, asked);
      case 'early-thaw':
      case 'double-thaw':
        return await this.ask('thaw', kind, own, {});
      case 'foreign-thaw':
        return await this.ask('thaw', kind, `${id}-foreign`, {});
    }
  }

  /** One call over the socket. */
  async ask(
    verb: 'freeze' | 'thaw',
    by: Called['by'],
    id: string | undefined,
    fields: Readonly<Record<string, string>>,
  ): Promise<void> {
    const acknowledged = await this.#acknowledged();
    const calledAt = this.#story.now;
    this.#story.tell(`${verb} ${id ?? 'without id'} by ${by}: called`);
    const named = id === undefined ? {} : { id };
    const reply = await this.#world.sidecar
      .api('POST', `/v1/${verb}`, { ...named, ...fields })
      .catch((error: unknown) => ({ status: 0, body: { error: { code: String(error) } } }));
    const body = reply.body as { kind?: string; receipt?: Receipt; error?: { code: string } };
    const receipt = body.kind === 'Receipt' ? (body as Receipt) : body.receipt;
    const outcome = `${reply.status} ${body.error?.code ?? ''}`;
    this.#story.tell(`${verb} ${id ?? 'without id'} by ${by}: ${outcome}`);
    const ok = reply.status === 200;
    const times = { calledAt, returnedAt: this.#story.now, acknowledged };
    this.#calls.push({ verb, by, id, ok, outcome, receipt, ...times });
    if (verb === 'thaw' && receipt) await this.#complete();
  }

  /**
   * Reads what the sidecar itself has on record: a success there is a claim too, also where nobody
   * lived to hear of it.
   *
   * @returns the receipts of this run that have ended.
   */
  async readRecord(): Promise<readonly Receipt[]> {
    const reply = await this.#world.sidecar.api('GET', '/v1/receipts', undefined, 5_000);
    const list = (reply.body as { receipts?: readonly unknown[] }).receipts ?? [];
    const known = new Set([this.#plan.id, ...this.#calls.map(({ receipt }) => receipt?.id)]);
    const ours = list
      .map((entry) => receiptSchema.parse(entry))
      .filter(({ id }) => known.has(id) || id.startsWith(this.#plan.id));
    for (const receipt of ours) {
      const heard = this.#calls.some((c) => c.verb === 'thaw' && c.receipt?.id === receipt.id);
      if (receipt.verdict === 'consistent' && !heard) this.#claim(receipt);
    }
    return ours.filter(({ verdict }) => verdict !== 'held');
  }

  #claim(receipt: Receipt): void {
    const { id } = receipt;
    const [asked] = this.#calls
      .filter((c) => c.verb === 'thaw' && (c.id === undefined || c.id === id))
      .toSorted((a, b) => a.calledAt - b.calledAt);
    const now = this.#story.now;
    const { calledAt, acknowledged } = asked ?? { calledAt: now, acknowledged: undefined };
    this.#story.tell(`the record of the sidecar calls ${id} consistent`);
    const times = { calledAt, returnedAt: now, acknowledged };
    const outcome = asked ? 'on record' : 'on record, and nobody asked for a thaw';
    this.#calls.push({ verb: 'thaw', by: 'record', id, ok: true, outcome, receipt, ...times });
  }

  async #cut(): Promise<void> {
    const cut = this.#makeCopy();
    this.#cuts.push(cut);
    await cut;
  }

  async #makeCopy(): Promise<void> {
    const begunAt = this.#story.now;
    try {
      const copy = await this.#world.cut();
      const endedAt = this.#story.now;
      const carries = await idIn(copy.path);
      this.#story.tell(
        `${copy.path} cut (since ${(endedAt - begunAt).toFixed(0)} ms), carries ${carries}`,
      );
      this.#copies.push({ copy, begunAt, endedAt, carries });
    } catch (error) {
      // A full volume has no room for a copy either.
      this.#story.tell(`no copy: ${(error as Error).message}`);
    }
  }

  async #complete(): Promise<void> {
    const { database } = this.#world;
    if (!database.complete) return;
    for (const cut of this.#copies) {
      if (cut.completedAt !== undefined) continue;
      await database.complete(cut.copy).then(
        () => {
          cut.completedAt = this.#story.now;
          this.#story.tell(`${cut.copy.path} is complete`);
        },
        (error: unknown) => this.#story.tell(`not completed: ${String(error)}`),
      );
    }
  }
}

/** Whose receipt a copy carries; torn by a copy that was not atomic, it is nobody's. */
async function idIn(copy: string): Promise<string | null> {
  const text = await readFile(join(copy, '.quiesce/receipt.json'), 'utf8').catch(() => null);
  try {
    return text === null ? null : (JSON.parse(text) as Receipt).id;
  } catch {
    return null;
  }
}
