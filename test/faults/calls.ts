import { setTimeout as sleep } from 'node:timers/promises';
import type { Receipt } from '../../src/receipt/receipt.ts';
import type { Acknowledged } from './engine.ts';
import type { By, Called } from './records.ts';
import { Shim } from './shim.ts';
import type { Reply } from './sidecar.ts';
import type { RunLog } from './run-log.ts';
import type { Rig } from './rig.ts';

const AGAIN_AFTER_MS = 200;
const TRIES = 10;

export interface Wanted {
  readonly verb: Called['verb'];
  readonly by: By;
  readonly id?: string | undefined;
  readonly key?: string | undefined;
  /** The call is repeated if the connection breaks; only with a key. */
  readonly retries?: boolean;
  /** The remaining fields are those of a freeze. */
  readonly ttlMs?: number;
  readonly timeoutMs?: number;
  readonly wait?: boolean;
  readonly renew?: boolean;
}

/** Makes the calls of a run, through the real command line or over the socket, and keeps their outcomes. */
export class Calls {
  readonly made: Called[] = [];
  /** The command line that is running, for the faults that hit it. */
  shim: Shim | undefined;
  readonly #rig: Rig;
  readonly #log: RunLog;

  constructor(rig: Rig, log: RunLog) {
    this.#rig = rig;
    this.#log = log;
  }

  /** One run of the command line, as a hook makes it. */
  async byShim(wanted: Wanted): Promise<Called> {
    const { verb, by, key } = wanted;
    const acknowledged = await this.#acknowledged();
    const calledAt = this.#log.now;
    const own = key === undefined ? [] : ['--idempotency-key', key];
    this.shim = new Shim([...argsOf(wanted), ...own], this.#rig.sidecar.socket);
    this.#log.step(`${verb} called`);
    const end = await this.shim.done;
    this.shim = undefined;
    const outcome = `${end.code ?? 'killed'} ${/"code":"(\w+)"/.exec(end.stdout)?.[1] ?? ''}`;
    this.#log.note(`${nameOf(wanted)} by ${by}: ${outcome} ${end.stderr.trim()}`);
    const times = { calledAt, returnedAt: this.#log.now, acknowledged };
    return this.#keep(wanted, { ok: end.code === 0, outcome, receipt: end.receipt, ...times });
  }

  /** One call over the socket. */
  async bySocket(wanted: Wanted): Promise<Called> {
    const acknowledged = await this.#acknowledged();
    const calledAt = this.#log.now;
    const what = `${nameOf(wanted)} by ${wanted.by}`;
    this.#log.note(`${what}: called`);
    const reply = await this.#send(wanted);
    const body = reply.body as { kind?: string; receipt?: Receipt; error?: { code: string } };
    const receipt = body.kind === 'Receipt' ? (body as Receipt) : body.receipt;
    const outcome = `${reply.status} ${body.error?.code ?? ''}`;
    this.#log.note(`${what}: ${outcome}`);
    const times = { calledAt, returnedAt: this.#log.now, acknowledged };
    return this.#keep(wanted, { ok: reply.status === 200, outcome, receipt, ...times });
  }

  async #send({ verb, key, retries, ...wanted }: Wanted): Promise<Reply> {
    const path = verb === 'freeze' ? '/v1/freeze' : '/v1/thaw';
    const headers = key === undefined ? {} : { 'idempotency-key': key };
    const abandon = verb === 'abandon' ? { abandon: true } : {};
    for (let attempt = 1; ; attempt += 1) {
      try {
        const body = { ...bodyOf(wanted), ...abandon };
        return await this.#rig.sidecar.api('POST', path, body, { headers });
      } catch (error) {
        const again = retries === true && key !== undefined && attempt < TRIES;
        if (!again) return { status: 0, body: { error: { code: String(error) } } };
        this.#log.note(`the connection broke: ${String(error)}; the call is repeated`);
      }
      await sleep(AGAIN_AFTER_MS);
    }
  }

  #keep({ verb, by, id, key, ttlMs }: Wanted, end: Omit<Called, keyof Who>): Called {
    const call: Called = { verb, by, id, key, ttlMs, ...end };
    this.made.push(call);
    return call;
  }

  async #acknowledged(): Promise<Acknowledged | undefined> {
    return await this.#rig.database.acknowledged().catch((error: unknown) => {
      this.#log.note(`the acknowledged writes are not known: ${String(error)}`);
      return undefined;
    });
  }
}

type Who = Pick<Called, 'verb' | 'by' | 'id' | 'key' | 'ttlMs'>;

function bodyOf({ id, ttlMs, timeoutMs, wait, renew }: Omit<Wanted, 'verb'>): object {
  return {
    ...(id === undefined ? {} : { id }),
    ...(ttlMs === undefined ? {} : { ttl: `${ttlMs}ms` }),
    ...(timeoutMs === undefined ? {} : { timeout: `${timeoutMs}ms` }),
    ...(wait ? { wait } : {}),
    ...(renew ? { renew } : {}),
  };
}

function argsOf({ verb, id, ttlMs, timeoutMs, wait, renew }: Wanted): string[] {
  return [
    verb === 'freeze' ? 'freeze' : 'thaw',
    ...(id === undefined ? [] : ['--id', id]),
    ...(ttlMs === undefined ? [] : ['--ttl', `${ttlMs}ms`]),
    ...(timeoutMs === undefined ? [] : ['--timeout', `${timeoutMs}ms`]),
    ...(wait ? ['--wait'] : []),
    ...(renew ? ['--renew'] : []),
    ...(verb === 'abandon' ? ['--abandon'] : []),
  ];
}

function nameOf({ verb, id, wait, renew }: Wanted): string {
  const how = `${wait ? ' and wait' : ''}${renew ? ' to renew' : ''}`;
  return `${verb} ${id ?? 'without id'}${how}`;
}
