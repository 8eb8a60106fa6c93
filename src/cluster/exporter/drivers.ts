import type { ClusterWatcher } from '../api/watch.ts';
import { listAt, textAt } from '../objects/kube-object.ts';
import { driversOf, type SnapshotView } from './snapshot-view.ts';

const API = '/apis/snapshot.storage.k8s.io/v1';
/** Classes are read again at most so often. */
const READ_EVERY_MS = 10_000;
/** Contents whose driver is asked for at a time; the others are asked for later. */
const MOST_ASKED = 10;
/** Answers that nobody has fetched; more than a busy backup needs. */
const MOST_ANSWERS = 1_000;

/**
 * Knows the driver of a snapshot: that of its class; without one, as in a group snapshot, that of its
 * content. What is not known yet is asked for, and known at a later call.
 */
export class Drivers {
  readonly #cluster: ClusterWatcher;
  #classes: ReadonlyMap<string, string> = new Map();
  #readAt = Number.NEGATIVE_INFINITY;
  readonly #asked = new Set<string>();
  readonly #contents = new Map<string, string>();

  constructor(cluster: ClusterWatcher) {
    this.#cluster = cluster;
  }

  readonly of = ({ className, content }: SnapshotView): string | undefined => {
    if (className !== undefined) {
      const known = this.#classes.get(className);
      if (known !== undefined) return known;
      void this.read();
    }
    if (content === undefined) return undefined;
    const driver = this.#contents.get(content);
    if (driver === undefined) void this.#ask(content);
    // It is asked for once a snapshot.
    else this.#contents.delete(content);
    return driver;
  };

  /** Reads the classes, unless it was just done. What cannot be read stays unknown. */
  async read(): Promise<void> {
    const now = performance.now();
    if (now - this.#readAt < READ_EVERY_MS) return;
    this.#readAt = now;
    const answer = await this.#cluster.get(`${API}/volumesnapshotclasses`).catch(() => undefined);
    if (answer?.status === 200) this.#classes = driversOf(listAt(answer.body, 'items'));
  }

  async #ask(content: string): Promise<void> {
    if (this.#asked.has(content) || this.#asked.size >= MOST_ASKED) return;
    this.#asked.add(content);
    try {
      const { status, body } = await this.#cluster.get(`${API}/volumesnapshotcontents/${content}`);
      const driver = status === 200 ? textAt(body, 'spec', 'driver') : undefined;
      if (driver === undefined) return;
      if (this.#contents.size >= MOST_ANSWERS) this.#contents.clear();
      this.#contents.set(content, driver);
    } catch {
      // It is asked again at the next look at the snapshot.
    } finally {
      this.#asked.delete(content);
    }
  }
}
