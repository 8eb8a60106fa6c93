import { setTimeout as sleep } from 'node:timers/promises';
import { QuiesceError } from '../../errors.ts';
import { textAt } from '../objects/kube-object.ts';
import { reasonOf, type ObjectApi } from '../api/objects.ts';
import {
  LEASES,
  type LeasePlace,
  type LeaseTimes,
  look,
  microTime,
  outwait,
  type Place,
  write,
} from './lease-object.ts';
import { objectName } from './object-names.ts';

export const LEASE_TIMES: LeaseTimes = {
  durationMs: 15_000,
  renewEveryMs: 4_000,
  lookEveryMs: 1_000,
};

/**
 * Whose turn it is. A holder is judged by what changes while one watches, by the watcher's own monotonic
 * clock, and never by the times in the object: clocks of two machines differ.
 */
export class RunLease {
  /** The run that held it before and died, if one did. */
  readonly previous: string | undefined;
  /** Aborts when the Lease could not be renewed in time, or another run has it. */
  readonly lost: AbortSignal;
  readonly #lost = new AbortController();
  readonly #closed = new AbortController();
  readonly #api: ObjectApi;
  readonly #place: Place;
  readonly #times: LeaseTimes;
  #version: string;
  #renewedAt: number;
  #renewing: Promise<void>;

  private constructor(
    api: ObjectApi,
    place: Place,
    times: LeaseTimes,
    taken: {
      readonly version: string;
      readonly at: number;
      readonly previous?: string | undefined;
    },
  ) {
    this.#api = api;
    this.#place = place;
    this.#times = times;
    this.#version = taken.version;
    this.#renewedAt = taken.at;
    this.previous = taken.previous;
    this.lost = this.#lost.signal;
    this.#renewing = this.#renewAll();
  }

  /**
   * Waits for a holder that gives no sign of life to be dead.
   *
   * @throws QuiesceError RUN_UNDER_WAY
   */
  static async take(
    api: ObjectApi,
    { namespace, group }: LeasePlace,
    holder: string,
    signal: AbortSignal,
    times = LEASE_TIMES,
  ): Promise<RunLease> {
    const place = { namespace, group, name: leaseName(group), holder };
    for (;;) {
      signal.throwIfAborted();
      const found = await look(api, place);
      const free = found?.holder === undefined || found.holder === holder;
      const dead = free ? found : await outwait(api, place, found, times, signal);
      const at = performance.now();
      const version = await write(api, place, times, dead);
      if (version === undefined) continue;
      const previous = dead?.holder === holder ? undefined : dead?.holder;
      return new RunLease(api, place, times, { version, at, previous });
    }
  }

  /** Proves that it is still held: renews it now. @throws QuiesceError RUN_LEASE_LOST */
  async confirm(): Promise<void> {
    this.lost.throwIfAborted();
    try {
      await this.#renew();
    } catch (error) {
      const lost = error instanceof QuiesceError && error.code === 'RUN_LEASE_LOST';
      throw lost ? error : lostLease(error instanceof Error ? error.message : String(error));
    }
  }

  /** Ends the renewals and lets the next run begin at once. Never rejects. */
  async release(): Promise<void> {
    this.#closed.abort();
    await this.#renewing;
    if (this.lost.aborted) return;
    const { namespace, name } = this.#place;
    const body = { metadata: { resourceVersion: this.#version }, spec: { holderIdentity: null } };
    await this.#api.send('PATCH', LEASES, { namespace, name }, body).catch(() => undefined);
  }

  async #renewAll(): Promise<void> {
    const { durationMs, renewEveryMs, lookEveryMs } = this.#times;
    let wait = renewEveryMs;
    const left = (): number => this.#renewedAt + durationMs - performance.now();
    while (!this.#closed.signal.aborted && !this.lost.aborted) {
      const pause = Math.max(0, Math.min(wait, left()));
      await sleep(pause, undefined, { signal: this.#closed.signal }).catch(() => undefined);
      if (this.#closed.signal.aborted) return;
      // Another run counts from when it saw the last renewal, which is later than when that was sent.
      if (left() <= 0) return this.#lose(lostLease('it could not be renewed in time'));
      try {
        await Promise.race([this.#renew(), sleep(left(), undefined, { ref: false })]);
        wait = renewEveryMs;
      } catch (error) {
        if (error instanceof QuiesceError && error.code === 'RUN_LEASE_LOST') {
          return this.#lose(error);
        }
        wait = lookEveryMs;
      }
    }
  }

  #lose(error: QuiesceError): void {
    this.#lost.abort(error);
  }

  async #renew(): Promise<void> {
    const { namespace, name, holder } = this.#place;
    for (let tries = 0; tries < 3; tries += 1) {
      const sent = performance.now();
      const body = {
        metadata: { resourceVersion: this.#version },
        spec: { holderIdentity: holder, renewTime: microTime() },
      };
      const answer = await this.#api.send('PATCH', LEASES, { namespace, name }, body);
      if (answer.status === 200) {
        this.#version = textAt(answer.body, 'metadata', 'resourceVersion') ?? '';
        this.#renewedAt = sent;
        return;
      }
      if (answer.status !== 409 && answer.status !== 404) throw new Error(reasonOf(answer));
      const found = await look(this.#api, this.#place);
      // Somebody may have put a label on it.
      if (found?.holder !== holder) throw lostLease(`it is held by ${found?.holder ?? 'nobody'}`);
      this.#version = found.version;
    }
    throw new Error('it changes all the time');
  }
}

/** The name of the Lease of an application. */
export function leaseName(group: string): string {
  return objectName(`quiesce-${group}`, { id: 'lease', group: '' });
}

function lostLease(reason: string): QuiesceError {
  return new QuiesceError('RUN_LEASE_LOST', `The run has lost its Lease: ${reason}.`);
}
