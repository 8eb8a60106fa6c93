import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import type { Acked } from '../../src/demo/load.ts';
import type { Receipt } from '../../src/freeze/receipt.ts';
import { inject, type Injected } from './inject.ts';
import type { Anchor, Plan, PlannedCall, PlannedFault } from './plan.ts';
import type { Called, Copy, RunRecord } from './records.ts';
import { Shim } from './shim.ts';
import type { Story } from './story.ts';
import type { World } from './world.ts';

/** Plays one plan on the world: freeze, hold, cut, thaw, with all that goes wrong meanwhile. */
export class Scenario {
  readonly #world: World;
  readonly #plan: Plan;
  readonly #story: Story;
  readonly #calls: Called[] = [];
  readonly #copies: Copy[] = [];
  readonly #injected: Injected[] = [];
  readonly #acked = new Map<string, Acked>();
  readonly #under: Promise<unknown>[] = [];
  #shim: Shim | undefined;

  constructor(world: World, plan: Plan, story: Story) {
    this.#world = world;
    this.#plan = plan;
    this.#story = story;
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
      ackedBefore: this.#acked,
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
    if (frozen.ok) await Promise.all(this.#under.filter((_, index) => index < cuts.length));
    if (thaw !== 'never' && (frozen.ok || thawAfterFailure)) await this.#hook('thaw');
    await this.#settle();
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
      this.#under.push(delayMs === 0 ? act() : sleep(delayMs).then(act));
    });
  }

  async #fault(fault: PlannedFault): Promise<void> {
    const at = this.#story.now;
    const entry = { kind: fault.kind, step: fault.step, at };
    this.#story.tell(`! ${fault.kind} (${fault.lastsMs} ms)`);
    const index = this.#injected.push(entry) - 1;
    const hit = await inject(this.#world, fault, this.#shim);
    this.#story.tell(`! ${fault.kind} ${hit ? 'is over' : 'hit nothing'}`);
    if (!hit) this.#injected[index] = { ...entry, at: 'missed' };
  }

  async #hook(verb: 'freeze' | 'thaw'): Promise<Called> {
    const { id, ttlMs, timeoutMs, withThawId } = this.#plan;
    const freeze = ['--id', id, '--ttl', `${ttlMs}ms`, '--timeout', `${timeoutMs}ms`];
    const args = verb === 'freeze' ? freeze : withThawId ? ['--id', id] : [];
    if (verb === 'freeze') this.#remember(id);
    const calledAt = this.#story.now;
    this.#shim = new Shim([verb, ...args], this.#world.sidecar.socket);
    this.#story.step(`${verb} called`);
    const end = await this.#shim.done;
    this.#shim = undefined;
    const ok = end.code === 0;
    const outcome = `${end.code ?? 'killed'} ${/"code":"(\w+)"/.exec(end.stdout)?.[1] ?? ''}`;
    const named = verb === 'freeze' || withThawId ? id : undefined;
    const { receipt } = end;
    const call = { verb, id: named, calledAt, returnedAt: this.#story.now, ok, outcome, receipt };
    this.#story.tell(`${verb} by main: ${outcome} ${end.stderr.trim()}`);
    this.#calls.push({ ...call, by: 'main' });
    if (verb === 'thaw' || ok) this.#story.step(`${verb} returned`);
    return { ...call, by: 'main' };
  }

  #remember(id: string): void {
    if (!this.#acked.has(id)) this.#acked.set(id, this.#world.load.snapshotAcked());
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
    const acked = this.#world.load.snapshotAcked();
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
    if (verb === 'freeze' && receipt && !this.#acked.has(receipt.id)) {
      this.#acked.set(receipt.id, acked);
    }
    const returnedAt = this.#story.now;
    this.#calls.push({ verb, by, id, calledAt, returnedAt, ok, outcome, receipt });
  }

  async #cut(): Promise<void> {
    const begunAt = this.#story.now;
    try {
      const { path } = await this.#world.cut();
      const endedAt = this.#story.now;
      const text = await readFile(join(path, '.quiesce/receipt.json'), 'utf8').catch(() => null);
      const carries = text === null ? null : (JSON.parse(text) as Receipt).id;
      this.#story.tell(`copy cut (${(endedAt - begunAt).toFixed(0)} ms), carries ${carries}`);
      this.#copies.push({ path, begunAt, endedAt, carries });
    } catch (error) {
      // A full volume has no room for a copy either.
      this.#story.tell(`no copy: ${(error as Error).message}`);
    }
  }
}
