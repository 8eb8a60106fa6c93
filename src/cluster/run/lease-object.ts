import { setTimeout as sleep } from 'node:timers/promises';
import { QuiesceError } from '../../errors.ts';
import type { ApiAnswer, ChangeMethod } from '../api/reader.ts';
import { at, textAt } from '../objects/kube-object.ts';
import { type Kind, reasonOf, rightOf, type ObjectApi } from '../api/objects.ts';
import { RUN_LABELS } from './names.ts';
import { forbidden } from '../api/rights.ts';

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

export const LEASES: Kind = { group: 'coordination.k8s.io', version: 'v1', plural: 'leases' };
const LABEL_VALUE = /^(?:[A-Za-z0-9](?:[-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?)?$/;
/** Of a Lease that somebody else wrote: no longer than this is its holder waited for. */
const LONGEST_WAIT_MS = 60_000;

export interface Place extends LeasePlace {
  readonly name: string;
  readonly holder: string;
}

interface Found {
  readonly version: string;
  readonly holder: string | undefined;
  readonly durationMs: number;
  readonly transitions: number;
}

export async function look(api: ObjectApi, { namespace, name }: Place): Promise<Found | undefined> {
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
export async function outwait(
  api: ObjectApi,
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
export async function write(
  api: ObjectApi,
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
  // The API of Leases is part of every cluster, so what is missing is the namespace.
  if (answer.status === 404) {
    const text = `There is no namespace ${namespace}, where the Lease of the application would be.`;
    throw new QuiesceError('USAGE', text, { hint: 'Check --lease-namespace.' });
  }
  throw unwritten(answer, found === undefined ? 'POST' : 'PATCH', namespace);
}

function unwritten(answer: ApiAnswer, method: ChangeMethod, namespace: string): QuiesceError {
  const verb = method === 'POST' ? 'create' : 'patch';
  if (answer.status === 403) return forbidden([rightOf(verb, LEASES, namespace)], reasonOf(answer));
  const text = `The Lease of the application cannot be written: ${reasonOf(answer)}.`;
  return new QuiesceError('CLUSTER_UNREACHABLE', text);
}

/** Kubernetes' MicroTime. For people: nothing is decided by it. */
export function microTime(): string {
  return new Date().toISOString().replace('Z', '000Z');
}
