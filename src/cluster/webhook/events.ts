import type { Logger } from '../../logger.ts';
import type { Cluster, ClusterEvent } from '../api/client.ts';
import type { Notice } from '../inject/inject.ts';
import type { Pod } from '../objects/pod.ts';

/** The same Event is not written again within this time, however many pods a set creates. */
const REPEAT_AFTER_MS = 600_000;
const MAX_REMEMBERED = 10_000;
const MAX_PENDING = 100;

/** Writes Events for the owner of a pod. The answer to the API server neither waits for them nor needs them. */
export class EventWriter {
  readonly #cluster: Cluster;
  readonly #logger: Logger;
  readonly #reportedAt = new Map<string, number>();
  #pending = 0;
  #refused = false;

  constructor(cluster: Cluster, logger: Logger) {
    this.#cluster = cluster;
    this.#logger = logger;
  }

  /** Starts one Event per notice. Repeated ones, and those over the limit of pending ones, are dropped. */
  report(pod: Pod, namespace: string, notices: readonly Notice[]): void {
    const about = eventTarget(pod);
    if (about === undefined) return;
    for (const { code, message } of notices) {
      const key = [namespace, about.kind, about.name, code, message].join('\n');
      if (this.#pending >= MAX_PENDING || !this.#isNew(key)) continue;
      void this.#write({ namespace, about, type: 'Warning', reason: code, message });
    }
  }

  #isNew(key: string): boolean {
    const now = Date.now();
    if (now - (this.#reportedAt.get(key) ?? Number.NEGATIVE_INFINITY) < REPEAT_AFTER_MS)
      return false;
    if (this.#reportedAt.size >= MAX_REMEMBERED) this.#reportedAt.clear();
    this.#reportedAt.set(key, now);
    return true;
  }

  async #write(event: ClusterEvent): Promise<void> {
    this.#pending += 1;
    try {
      await this.#cluster.createEvent(event);
    } catch (error) {
      if (!this.#refused) {
        const reason = error instanceof Error ? error.message : String(error);
        this.#logger.warn({ reason }, 'cannot write Events');
      }
      this.#refused = true;
    } finally {
      this.#pending -= 1;
    }
  }
}

/** A set's pod may have neither name nor uid at admission, so the Event goes to its controller. */
function eventTarget(pod: Pod): ClusterEvent['about'] | undefined {
  const owner = pod.metadata?.ownerReferences?.find(({ controller }) => controller === true);
  if (owner) {
    const { apiVersion, kind, name, uid } = owner;
    return { apiVersion, kind, name, uid };
  }
  const name = pod.metadata?.name;
  return name === undefined ? undefined : { apiVersion: 'v1', kind: 'Pod', name };
}
