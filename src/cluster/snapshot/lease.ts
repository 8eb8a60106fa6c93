import { setTimeout as sleep } from 'node:timers/promises';
import { QuiesceError } from '../../errors.ts';
import type { ApiAnswer, ChangeMethod } from '../api/reader.ts';
import { at, textAt } from '../inventory/catalog.ts';
import { type Kind, reasonOf, rightOf, type SnapshotApi } from './api.ts';
import { objectName } from './object-names.ts';
import { RUN_LABELS } from './names.ts';
import { forbidden } from './rights.ts';

/** The Lease object of an application: at most one run of it is under way. */
export interface LeasePlace {
  readonly namespace: string;
  readonly group: string;
}

export interface LeaseTimes {
  /** A holder that has given no sign of life for so long is dead. */
  readonly durationMs: number;
  readonly renewEveryMs: number;
  readonly lookEveryMs: number;
}

export const LEASE_TIMES: LeaseTimes = {
  durationMs: 15_000,
  renewEveryMs: 4_000,
  lookEveryMs: 1_000,
};

const LEASES: Kind = { group: 'coordination.k8s.io', version: 'v1', plural: 'leases' };
const LABEL_VALUE = /^(?:[A-Za-z0-9](?:[-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?)?$/;
/** Of a Lease that somebody else wrote: no longer than this is its holder waited for. */
const LONGEST_WAIT_MS = 60_000;

interface Place extends LeasePlace {
  readonly name: string;
  readonly holder: string;
}

interface Found {
  readonly version: string;
  readonly holder: string | undefined;
  readonly durationMs: number;
  readonly transitions: number;
}

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
  readonly #api: SnapshotApi;
  readonly #place: Place;
  readonly #times: LeaseTimes;
  #version: string;
  #renewedAt: number;
  #renewing: Promise<void>;

  private constructor(
    api: SnapshotApi,
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
    api: SnapshotApi,
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

async function look(api: SnapshotApi, { namespace, name }: Place): Promise<Found | undefined> {
  const object = await api.get(LEASES, namespace, name);
  if (object === undefined) return undefined;
  const holder = textAt(object, 'spec', 'holderIdentity');
  const seconds = at(object, 'spec', 'leaseDurationSeconds');
  const transitions = at(object, 'spec', 'leaseTransitions');
  return {
    version: object.metadata?.['resourceVersion' as never] ?? '',
    holder: holder === '' ? undefined : holder,
    durationMs: typeof seconds === 'number' ? seconds * 1_000 : 0,
    transitions: typeof transitions === 'number' ? transitions : 0,
  };
}

/** Watches until the holder is dead, and returns the Lease as it then is. */
async function outwait(
  api: SnapshotApi,
  place: Place,
  first: Found,
  { durationMs, lookEveryMs }: LeaseTimes,
  signal: AbortSignal,
): Promise<Found | undefined> {
  const wait = Math.min(LONGEST_WAIT_MS, Math.max(durationMs, first.durationMs));
  const begun = performance.now();
  for (;;) {
    await sleep(lookEveryMs, undefined, { signal }).catch(() => undefined);
    signal.throwIfAborted();
    const now = await look(api, place);
    if (now?.holder === undefined) return now;
    if (now.holder !== first.holder || now.version !== first.version) {
      const text = `The run ${now.holder} is under way.`;
      throw new QuiesceError('RUN_UNDER_WAY', text, { details: { run: now.holder } });
    }
    if (performance.now() - begun >= wait) return now;
  }
}

/** @returns its version; `undefined`: another run was faster */
async function write(
  api: SnapshotApi,
  { namespace, name, holder, group }: Place,
  { durationMs }: LeaseTimes,
  found: Found | undefined,
): Promise<string | undefined> {
  const now = microTime();
  const spec = {
    holderIdentity: holder,
    leaseDurationSeconds: Math.max(1, Math.round(durationMs / 1_000)),
    acquireTime: now,
    renewTime: now,
    leaseTransitions: (found?.transitions ?? -1) + 1,
  };
  const labels = LABEL_VALUE.test(group) ? { [RUN_LABELS.group]: group } : {};
  const type = { apiVersion: 'coordination.k8s.io/v1', kind: 'Lease' };
  const answer =
    found === undefined
      ? await api.send('POST', LEASES, { namespace }, { ...type, metadata: { name, labels }, spec })
      : await api.send(
          'PATCH',
          LEASES,
          { namespace, name },
          { metadata: { resourceVersion: found.version }, spec },
        );
  if (answer.status === 200 || answer.status === 201) {
    return textAt(answer.body, 'metadata', 'resourceVersion') ?? '';
  }
  if (answer.status === 409 || (answer.status === 404 && found !== undefined)) return undefined;
  throw unwritten(answer, found === undefined ? 'POST' : 'PATCH', namespace);
}

function unwritten(answer: ApiAnswer, method: ChangeMethod, namespace: string): QuiesceError {
  const verb = method === 'POST' ? 'create' : 'patch';
  if (answer.status === 403) return forbidden([rightOf(verb, LEASES, namespace)], reasonOf(answer));
  const text = `The Lease of the application cannot be written: ${reasonOf(answer)}.`;
  return new QuiesceError('CLUSTER_UNREACHABLE', text);
}

/** Kubernetes' MicroTime. For people: nothing is decided by it. */
function microTime(): string {
  return new Date().toISOString().replace('Z', '000Z');
}
