import { randomBytes } from 'node:crypto';
import { setTimeout as sleep } from 'node:timers/promises';
import { QuiesceError } from '../../errors.ts';
import { writeDuration } from '../../lib/duration.ts';
import type { Receipt } from '../../receipt/receipt.ts';
import type { RestoreLevel } from '../../receipt/restore-level.ts';
import type { RunProblem } from '../snapshot/document.ts';
import { forbidden, type Right } from '../api/rights.ts';
import {
  Broken,
  errorIn,
  NoWay,
  type PodCalls,
  type SidecarAnswer,
  type SidecarCall,
  type SidecarPlace,
  type Way,
  waysTo,
} from './sidecar-ways.ts';

/** The part of `GET /v1/status` that a run reads. */
export interface SidecarStatus {
  readonly state: string;
  readonly lease: { readonly id: string; readonly by: string } | null;
  readonly engine: {
    readonly name: string;
    readonly reachable: boolean;
    readonly message: string | null;
  };
  /** What its restored data may be called; `null`: it knows of no restore. */
  readonly restore?: {
    readonly id: string | null;
    readonly level: RestoreLevel;
    /** `null`: not judged yet. */
    readonly verified: boolean | null;
    readonly message: string;
  } | null;
  /** Absent: an older sidecar, which refuses a longer lease at the freeze. */
  readonly ttlMaxMs?: number;
}

export interface FreezeOrder {
  readonly id: string;
  /** Absent: the sidecar's own. */
  readonly ttlMs?: number | undefined;
  readonly timeoutMs: number;
}

/** The sidecar of one pod. Every call rejects with `SidecarFailure`, or the reason of its signal. */
export interface Sidecar {
  status(signal: AbortSignal): Promise<SidecarStatus>;
  metadata(signal: AbortSignal): Promise<Readonly<Record<string, unknown>>>;
  /** Its last receipts, and the one of the copy that its volume was restored from. */
  receipts(signal: AbortSignal): Promise<Readonly<Record<string, unknown>>>;
  /** Resolves with a receipt of this id, verdict `held`. */
  freeze(order: FreezeOrder, signal: AbortSignal): Promise<Receipt>;
  /** Resolves with a receipt of this id, verdict `consistent`. */
  thaw(id: string, signal: AbortSignal): Promise<Receipt>;
  /** Releases only the freeze with this id. @returns whether it was in place */
  abandon(id: string, signal: AbortSignal): Promise<boolean>;
}

/** What a sidecar refused, in its own words; or that none was reached: SIDECAR_UNREACHABLE, FORBIDDEN. */
export class SidecarFailure extends Error {
  readonly code: string;
  readonly hint: string | undefined;
  /** The final receipt of a thaw that is not consistent. */
  readonly receipt: Receipt | undefined;

  constructor({ code, message, hint }: RunProblem, receipt?: Receipt, cause?: unknown) {
    super(message, cause === undefined ? undefined : { cause });
    this.code = code;
    this.hint = hint;
    this.receipt = receipt;
  }
}

const EITHER = 'either pods/portforward or pods/exec is enough';
const AGAIN_AFTER_MS = 250;
/** A sidecar may restart, or an API server. After so many broken connections it is neither. */
const BROKEN_AT_MOST = 3;

export function sidecarAt(pods: PodCalls, place: SidecarPlace): Sidecar {
  const reach = new Reach(waysTo(pods, place), place);
  return {
    status: async (signal) => {
      const { body } = await reach.done(readCall('status'), signal);
      return body as unknown as SidecarStatus;
    },
    metadata: async (signal) => (await reach.done(readCall('metadata'), signal)).body,
    receipts: async (signal) => (await reach.done(readCall('receipts'), signal)).body,
    freeze: async (order, signal) => {
      const { body } = await reach.done(freezeCall(order), signal);
      return reach.receipt(body, order.id, 'held');
    },
    thaw: async (id, signal) => {
      const { body } = await reach.done(thawCall(id, false), signal);
      return reach.receipt(body, id, 'consistent');
    },
    abandon: async (id, signal) => {
      const { body } = await reach.done(thawCall(id, true), signal);
      return body['released'] === true;
    },
  };
}

class Reach {
  readonly #ways: readonly Way[];
  readonly #place: SidecarPlace;
  /** Refusals of the ways that were tried; the next way is in use. */
  readonly #closed: NoWay[] = [];

  constructor(ways: readonly Way[], place: SidecarPlace) {
    this.#ways = ways;
    this.#place = place;
  }

  /** Resolves with an answer that is a success. */
  async done(wanted: SidecarCall, signal: AbortSignal): Promise<SidecarAnswer> {
    const answer = await this.#answered(wanted, signal);
    if (answer.ok) return answer;
    const { code, message, hint } = errorIn(answer);
    if (code === undefined || message === undefined) {
      throw this.#unreachable('it failed in a form that is not a sidecar’s');
    }
    const receipt = answer.body['receipt'] as Receipt | undefined;
    throw new SidecarFailure({ code, message, ...(hint !== undefined && { hint }) }, receipt);
  }

  /** The status alone proves nothing: the receipt must say it. */
  receipt(body: SidecarAnswer['body'], id: string, verdict: Receipt['verdict']): Receipt {
    if (body['kind'] === 'Receipt' && body['id'] === id && body['verdict'] === verdict) {
      return body as unknown as Receipt;
    }
    throw this.#unreachable(`its answer does not say that ${id} is ${verdict}`);
  }

  /** A call with the same key is answered as the first one was, so that it may be sent again. */
  async #answered(wanted: SidecarCall, signal: AbortSignal): Promise<SidecarAnswer> {
    for (let broken = 0; ;) {
      signal.throwIfAborted();
      const way = this.#ways[this.#closed.length];
      if (way === undefined) throw this.#noWay();
      try {
        return await way(wanted, signal);
      } catch (error) {
        if (error instanceof NoWay) {
          if (this.#ways[this.#closed.length] === way) this.#closed.push(error);
          continue;
        }
        if (!(error instanceof Broken)) throw error;
        broken += 1;
        if (broken > BROKEN_AT_MOST) throw this.#unreachable(error.message, error);
      }
      await sleep(AGAIN_AFTER_MS, undefined, { signal }).catch(() => undefined);
    }
  }

  #noWay(): SidecarFailure {
    // The next call tries all ways again: what closed one may have been a restart.
    const closed = this.#closed.splice(0);
    const refused = closed.map(({ cause }) => cause).filter((one) => one instanceof QuiesceError);
    const [first] = refused;
    if (first !== undefined && refused.length === closed.length) {
      const error = eitherOf(refused);
      const { code, message, hint } = error;
      return new SidecarFailure({ code, message, hint }, undefined, error);
    }
    return this.#unreachable(closed.map(({ message }) => message).join('; '));
  }

  #unreachable(reason: string, cause?: unknown): SidecarFailure {
    const { namespace, pod } = this.#place;
    const problem = {
      code: 'SIDECAR_UNREACHABLE',
      message: `The sidecar of the pod ${pod} in ${namespace} cannot be reached: ${reason}.`,
      hint: 'Look at the container and its log: kubectl logs POD -c quiesce.',
    };
    return new SidecarFailure(problem, undefined, cause);
  }
}

/** No way is allowed, and the first one would be enough. */
function eitherOf(refused: readonly QuiesceError[]): QuiesceError {
  const of = ({ details }: QuiesceError): readonly Right[] => details['rights'] as readonly Right[];
  const [first, ...others] = refused;
  const said = (first?.details['reason'] ?? '') as string;
  const reason = others.length > 0 ? `${EITHER}; ${said}` : said;
  return forbidden(refused.flatMap(of), reason, refused.slice(0, 1).flatMap(of));
}

/** A key that no other call has. */
function newKey(): string {
  return randomBytes(16).toString('hex');
}

function readCall(what: 'status' | 'metadata' | 'receipts'): SidecarCall {
  return {
    request: { method: 'GET', path: `/v1/${what}` },
    command: ['quiesce', what, '-o', 'json'],
  };
}

function freezeCall({ id, ttlMs, timeoutMs }: FreezeOrder): SidecarCall {
  const key = newKey();
  const timeout = writeDuration(Math.max(1, Math.round(timeoutMs)));
  const ttl = ttlMs === undefined ? undefined : writeDuration(ttlMs);
  const body = { id, timeout, thawLast: true, ...(ttl !== undefined && { ttl }) };
  const flags = ['--id', id, '--timeout', timeout, ...(ttl === undefined ? [] : ['--ttl', ttl])];
  return {
    request: { method: 'POST', path: '/v1/freeze', body, headers: { 'idempotency-key': key } },
    command: commandOf('freeze', [...flags, '--thaw-last'], key),
  };
}

function thawCall(id: string, abandon: boolean): SidecarCall {
  const key = newKey();
  const body = { id, ...(abandon && { abandon }) };
  return {
    request: { method: 'POST', path: '/v1/thaw', body, headers: { 'idempotency-key': key } },
    command: commandOf('thaw', ['--id', id, ...(abandon ? ['--abandon'] : [])], key),
  };
}

function commandOf(verb: string, flags: readonly string[], key: string): readonly string[] {
  return ['quiesce', verb, ...flags, '--idempotency-key', key, '-o', 'json'];
}
