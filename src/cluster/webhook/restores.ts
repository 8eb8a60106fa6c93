import { setTimeout as sleep } from 'node:timers/promises';
import { withDeadline } from '../../lib/deadline.ts';
import type { Logger } from '../../logger.ts';
import { follow } from '../api/follow.ts';
import { type ClusterWatcher, refusal } from '../api/watch.ts';
import type { GateState } from '../gates/decide.ts';
import { RESTORE } from '../restore/names.ts';
import { LeaseSightings } from './lease-sightings.ts';

interface Namespace {
  readonly metadata?: {
    readonly name?: string;
    readonly labels?: Readonly<Record<string, string>>;
    readonly annotations?: Readonly<Record<string, string>>;
  };
}

/** A namespace with the label of a run. */
export interface RestoreSeen {
  readonly namespace: string;
  readonly run: string;
  readonly alive: boolean;
}

const LOOK_EVERY_MS = 2_000;
/** The API server waits five seconds for the whole answer. */
const ANSWER_WITHIN_MS = 2_000;
const PAGE = 250;

/**
 * The namespaces that staged restores fill, and whether their runs are alive. For each pod its namespace is
 * read anew: one that is read a moment too early would let a pod pass whose turn has not come.
 */
export class Restores {
  readonly #cluster: ClusterWatcher;
  readonly #logger: Logger;
  readonly #known = new Map<string, Namespace>();
  readonly #leases = new LeaseSightings();
  readonly #ending = new AbortController();
  #listed = new Set<string>();
  #failing = false;

  constructor(cluster: ClusterWatcher, logger: Logger) {
    this.#cluster = cluster;
    this.#logger = logger;
  }

  start(): void {
    void this.#follow();
    void this.#lookAll();
  }

  stop(): void {
    this.#ending.abort();
  }

  /** All namespaces with the label of a run. A run that nobody has looked at yet counts as alive. */
  seen(): readonly RestoreSeen[] {
    return [...this.#known].map(([namespace, one]) => {
      const { run = '', lease } = runOf(one);
      const alive = lease !== undefined && this.#leases.alive(lease, run) !== false;
      return { namespace, run, alive };
    });
  }

  /** Rejects if neither the API server nor what was seen before tells. */
  async stateOf(namespace: string): Promise<GateState> {
    const found = await this.#read(namespace);
    const { run, lease } = runOf(found);
    const annotations = found?.metadata?.annotations ?? {};
    if (run === undefined) return { run, alive: false, annotations };
    return { run, alive: await this.#isAlive(run, lease), annotations };
  }

  async #read(namespace: string): Promise<Namespace | undefined> {
    try {
      const answer = await this.#get(`/api/v1/namespaces/${encodeURIComponent(namespace)}`);
      return answer as Namespace | undefined;
    } catch (error) {
      const known = this.#known.get(namespace);
      if (known === undefined) throw error;
      return known;
    }
  }

  async #isAlive(run: string, lease: string | undefined): Promise<boolean> {
    if (lease === undefined) return false;
    const known = this.#leases.alive(lease, run);
    // A run may have taken over since the last look, so what is not alive is looked at again.
    if (known !== true) await this.#look(lease);
    return this.#leases.alive(lease, run) ?? true;
  }

  async #look(lease: string): Promise<void> {
    const [namespace = '', name = ''] = lease.split('/').map(encodeURIComponent);
    try {
      const path = `/apis/coordination.k8s.io/v1/namespaces/${namespace}/leases/${name}`;
      const found = (await this.#get(path)) as LeaseObject | undefined;
      this.#leases.note(lease, found && seenIn(found), performance.now());
      this.#failing = false;
    } catch (error) {
      if (!this.#failing) this.#logger.warn({ lease, err: error }, 'the Lease cannot be read');
      this.#failing = true;
    }
  }

  async #get(path: string): Promise<unknown> {
    const answer = await withDeadline(ANSWER_WITHIN_MS, this.#cluster.get(path));
    if (answer.status === 404) return undefined;
    if (answer.status !== 200) throw refusal(answer);
    return answer.body;
  }

  async #lookAll(): Promise<void> {
    const { signal } = this.#ending;
    while (!signal.aborted) {
      const leases = new Set([...this.#known.values()].flatMap((one) => runOf(one).lease ?? []));
      await Promise.all([...leases].map((one) => this.#look(one)));
      if (leases.size === 0) this.#leases.keep(leases);
      await sleep(LOOK_EVERY_MS, undefined, { signal }).catch(() => undefined);
    }
  }

  async #follow(): Promise<void> {
    const what = { path: '/api/v1/namespaces', labelSelector: RESTORE.run, page: PAGE };
    const nameOf = (object: unknown): string => (object as Namespace).metadata?.name ?? '';
    const set = (object: unknown): void => {
      this.#known.set(nameOf(object), object as Namespace);
    };
    const sink = {
      listing: () => void (this.#listed = new Set()),
      listed: (object: unknown) => {
        this.#listed.add(nameOf(object));
        set(object);
      },
      listedAll: () => {
        for (const name of this.#known.keys()) {
          if (!this.#listed.has(name)) this.#known.delete(name);
        }
      },
      changed: set,
      // Also when it loses the label.
      gone: (object: unknown) => void this.#known.delete(nameOf(object)),
    };
    const health = {
      read: () => undefined,
      failed: (error: Error) => {
        this.#logger.warn({ err: error }, 'the namespaces of staged restores cannot be read');
      },
    };
    await follow(this.#cluster, what, sink, { signal: this.#ending.signal, health });
  }
}

interface LeaseObject {
  readonly metadata?: { readonly resourceVersion?: string };
  readonly spec?: {
    readonly holderIdentity?: string | null;
    readonly leaseDurationSeconds?: number;
  };
}

function seenIn({ metadata, spec }: LeaseObject) {
  return {
    version: metadata?.resourceVersion ?? '',
    holder: spec?.holderIdentity ?? undefined,
    durationMs: (spec?.leaseDurationSeconds ?? 0) * 1_000,
  };
}

function runOf(namespace: Namespace | undefined): {
  readonly run: string | undefined;
  readonly lease: string | undefined;
} {
  const { labels, annotations } = namespace?.metadata ?? {};
  const lease = annotations?.[RESTORE.lease];
  return { run: labels?.[RESTORE.run], lease: /^[^/]+\/[^/]+$/.exec(lease ?? '')?.[0] };
}
