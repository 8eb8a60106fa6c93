import { setTimeout as sleep } from 'node:timers/promises';
import { type ClusterWatcher, Refused, refusal, type WatchEvent } from './watch.ts';

/** What to follow: all objects of a kind, or those of one namespace. */
export interface Followed {
  /** `/api/v1/configmaps`, `/apis/GROUP/VERSION/namespaces/NAME/PLURAL`. */
  readonly path: string;
  readonly labelSelector?: string;
  /** Objects in one answer of a list: bounds what is in memory at a time. */
  readonly page: number;
}

/** Gets the objects. Every list is complete: what an earlier one had and this one lacks is gone. */
export interface Sink {
  /** A list begins. After a failure in its middle, the next one begins anew. */
  listing(): void;
  listed(object: unknown): void;
  listedAll(): void;
  changed(object: unknown): void;
  gone(object: unknown): void;
}

/** Learns whether reading works. */
export interface ReadHealth {
  read(): void;
  failed(error: Error): void;
}

export interface FollowOptions {
  readonly signal: AbortSignal;
  readonly health: ReadHealth;
  /** The pause after a first failure, doubled up to `longestPauseMs` after each further one. */
  readonly pauseMs?: number;
  readonly longestPauseMs?: number;
}

/** The server ends a watch after this time. */
const WATCH_SECONDS = 240;
/** How often a kind that the cluster does not serve is looked for. */
const UNSERVED_FOR_MS = 60_000;

/**
 * Lists, then watches from there, for ever. A watch that ends goes on from the last version seen, so
 * nothing is missed; only if the server no longer has that version (410), everything is listed again.
 * Resolves when the signal aborts.
 */
export async function follow(
  cluster: ClusterWatcher,
  what: Followed,
  sink: Sink,
  options: FollowOptions,
): Promise<void> {
  const { signal, health, pauseMs = 1_000, longestPauseMs = 30_000 } = options;
  const follower = new Follower(cluster, what, sink, options);
  let pause = pauseMs;
  while (!signal.aborted) {
    try {
      const served = await follower.step();
      // Also after a success: a proxy may end every watch at once.
      pause = pauseMs;
      await rest(served ? pauseMs : UNSERVED_FOR_MS, signal);
    } catch (error) {
      if (signal.aborted) return;
      if (!isGone(error)) health.failed(error as Error);
      await rest(pause, signal);
      pause = Math.min(pause * 2, longestPauseMs);
    }
  }
}

class Follower {
  readonly #cluster: ClusterWatcher;
  readonly #what: Followed;
  readonly #sink: Sink;
  readonly #options: FollowOptions;
  #version: string | undefined;

  constructor(cluster: ClusterWatcher, what: Followed, sink: Sink, options: FollowOptions) {
    this.#cluster = cluster;
    this.#what = what;
    this.#sink = sink;
    this.#options = options;
  }

  /** One list, if it is needed, and one watch. @returns false if the cluster does not serve this kind */
  async step(): Promise<boolean> {
    const { health, signal } = this.#options;
    try {
      if (this.#version === undefined) {
        this.#version = await this.#list();
        health.read();
        if (this.#version === undefined) return false;
      }
      const callbacks = {
        opened: () => health.read(),
        event: (one: WatchEvent) => this.#take(one),
      };
      await this.#cluster.watch(this.#query(this.#watchQuery()), callbacks, signal);
      return true;
    } catch (error) {
      if (isGone(error)) this.#version = undefined;
      throw error;
    }
  }

  /** @returns the version to watch from; `undefined`: the cluster does not serve this kind */
  async #list(): Promise<string | undefined> {
    this.#sink.listing();
    let token: string | undefined;
    let version: string | undefined;
    do {
      const query = { limit: String(this.#what.page), ...(token ? { continue: token } : {}) };
      const answer = await this.#cluster.get(this.#query(query));
      if (answer.status === 404) break;
      if (answer.status !== 200) throw refusal(answer);
      const { items, metadata } = answer.body as ObjectList;
      for (const item of items ?? []) this.#sink.listed(item);
      version = metadata?.resourceVersion;
      token = metadata?.continue;
    } while (token);
    this.#sink.listedAll();
    return version;
  }

  #take({ type, object }: WatchEvent): void {
    const { metadata, code, message } = object as ObjectList & {
      readonly code?: number;
      readonly message?: string;
    };
    if (type === 'ERROR') throw new Refused(code ?? 0, message ?? 'the watch failed');
    this.#options.health.read();
    if (type === 'DELETED') this.#sink.gone(object);
    else if (type !== 'BOOKMARK') this.#sink.changed(object);
    this.#version = metadata?.resourceVersion ?? this.#version;
  }

  #watchQuery(): Record<string, string> {
    return {
      watch: '1',
      allowWatchBookmarks: 'true',
      timeoutSeconds: String(WATCH_SECONDS),
      resourceVersion: this.#version ?? '',
    };
  }

  #query(own: Readonly<Record<string, string>>): string {
    const { path, labelSelector } = this.#what;
    const query = new URLSearchParams({ ...own, ...(labelSelector ? { labelSelector } : {}) });
    return `${path}?${query.toString()}`;
  }
}

interface ObjectList {
  readonly items?: readonly unknown[];
  readonly metadata?: { readonly resourceVersion?: string; readonly continue?: string };
}

/** The server no longer has the version, the rest of the list, or (404) the kind: only a new list tells. */
function isGone(error: unknown): boolean {
  return error instanceof Refused && (error.status === 410 || error.status === 404);
}

async function rest(ms: number, signal: AbortSignal): Promise<void> {
  await sleep(ms, undefined, { signal }).catch(() => undefined);
}
