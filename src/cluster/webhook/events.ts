import type { Logger } from '../../logger.ts';
import type { Cluster, ClusterEvent } from '../api/client.ts';
import type { Notice } from '../inject/inject.ts';
import type { Pod } from '../objects/pod.ts';

/** The same is not said again within this time, however many pods a set creates. */
const AGAIN_AFTER_MS = 600_000;
const MOST_REMEMBERED = 10_000;
const MOST_WAITING = 100;

/** Tells the owner of a pod, beside the answer: nobody waits for it, and nothing depends on it. */
export class EventWriter {
  readonly #cluster: Cluster;
  readonly #logger: Logger;
  readonly #told = new Map<string, number>();
  #waiting = 0;
  #refused = false;

  constructor(cluster: Cluster, logger: Logger) {
    this.#cluster = cluster;
    this.#logger = logger;
  }

  tell(pod: Pod, namespace: string, notices: readonly Notice[]): void {
    const about = subject(pod);
    if (about === undefined) return;
    for (const { code, message } of notices) {
      const key = [namespace, about.kind, about.name, code, message].join('\n');
      if (this.#waiting >= MOST_WAITING || !this.#isNews(key)) continue;
      void this.#write({ namespace, about, type: 'Warning', reason: code, message });
    }
  }

  #isNews(key: string): boolean {
    const now = Date.now();
    if (now - (this.#told.get(key) ?? Number.NEGATIVE_INFINITY) < AGAIN_AFTER_MS) return false;
    if (this.#told.size >= MOST_REMEMBERED) this.#told.clear();
    this.#told.set(key, now);
    return true;
  }

  async #write(event: ClusterEvent): Promise<void> {
    this.#waiting += 1;
    try {
      await this.#cluster.createEvent(event);
    } catch (error) {
      if (!this.#refused) {
        const reason = error instanceof Error ? error.message : String(error);
        this.#logger.warn({ reason }, 'events cannot be written');
      }
      this.#refused = true;
    } finally {
      this.#waiting -= 1;
    }
  }
}

/** A pod of a set may have neither name nor uid at admission: then its controller is told. */
function subject(pod: Pod): ClusterEvent['about'] | undefined {
  const owner = pod.metadata?.ownerReferences?.find(({ controller }) => controller === true);
  if (owner) {
    const { apiVersion, kind, name, uid } = owner;
    return { apiVersion, kind, name, uid };
  }
  const name = pod.metadata?.name;
  return name === undefined ? undefined : { apiVersion: 'v1', kind: 'Pod', name };
}
