import { expect, test, vi } from 'vitest';
import { follow, type Sink } from '../../../src/cluster/api/follow.ts';
import type { ApiAnswer } from '../../../src/cluster/api/reader.ts';
import {
  type ClusterWatcher,
  Refused,
  type WatchCallbacks,
} from '../../../src/cluster/api/watch.ts';

type Watch = (callbacks: WatchCallbacks, path: string) => void | Promise<void>;

/** Plays one answer after the other; what it was asked stands in `asked`. After the last it stays silent. */
class ScriptedCluster implements ClusterWatcher {
  readonly name = 'scripted';
  readonly asked: string[] = [];
  readonly #lists: (ApiAnswer | Error)[];
  readonly #watches: Watch[];

  constructor(lists: (ApiAnswer | Error)[], watches: Watch[]) {
    this.#lists = lists;
    this.#watches = watches;
  }

  async get(path: string): Promise<ApiAnswer> {
    this.asked.push(path);
    const answer = this.#lists.shift();
    if (answer === undefined) throw new Error('no more lists in the script');
    if (answer instanceof Error) throw answer;
    return answer;
  }

  async watch(path: string, callbacks: WatchCallbacks, signal: AbortSignal): Promise<void> {
    this.asked.push(path);
    const next = this.#watches.shift();
    if (next !== undefined) {
      await next(callbacks, path);
      return;
    }
    callbacks.opened();
    await new Promise((resolve) => signal.addEventListener('abort', resolve));
  }
}

const object = (name: string, resourceVersion: string) => ({ metadata: { name, resourceVersion } });
const page = (version: string, names: string[], token?: string): ApiAnswer => ({
  status: 200,
  body: {
    metadata: { resourceVersion: version, ...(token && { continue: token }) },
    items: names.map((name) => object(name, version)),
  },
});

/** Follows until `done`. @returns what came, in order */
async function played(
  lists: (ApiAnswer | Error)[],
  watches: Watch[],
  done: string,
): Promise<{ log: string[]; asked: string[] }> {
  const log: string[] = [];
  const say = (what: string) => (one?: unknown) => {
    const { metadata } = (one ?? {}) as { metadata?: { name: string } };
    log.push([what, metadata?.name].filter(Boolean).join(' '));
  };
  const sink: Sink = {
    listing: say('listing'),
    listed: say('listed'),
    listedAll: say('listed all'),
    changed: say('changed'),
    gone: say('gone'),
  };
  const cluster = new ScriptedCluster(lists, watches);
  const ending = new AbortController();
  const running = follow(
    cluster,
    { path: '/api/v1/configmaps', labelSelector: 'a=b', page: 2 },
    sink,
    {
      signal: ending.signal,
      pauseMs: 1,
      longestPauseMs: 2,
      health: { read: () => undefined, failed: ({ message }) => log.push(`failed: ${message}`) },
    },
  );
  await vi.waitUntil(() => log.includes(done), { timeout: 5_000 });
  ending.abort();
  await running;
  return { log, asked: cluster.asked };
}

const versionIn = (path: string): string | null =>
  new URLSearchParams(path.split('?')[1]).get('resourceVersion');

test('lists page by page, and watches from there with bookmarks and the same selector', async () => {
  const { log, asked } = await played(
    [page('7', ['a', 'b'], 'more'), page('7', ['c'])],
    [
      (to) => {
        to.opened();
        to.event({ type: 'ADDED', object: object('d', '8') });
        to.event({ type: 'DELETED', object: object('a', '9') });
      },
    ],
    'gone a',
  );
  expect(log).toEqual([
    'listing',
    'listed a',
    'listed b',
    'listed c',
    'listed all',
    'changed d',
    'gone a',
  ]);
  expect(asked[1]).toContain('continue=more');
  expect(asked[2]).toMatch(/watch=1.*allowWatchBookmarks=true.*timeoutSeconds=\d+/);
  expect(asked.every((path) => path.includes('labelSelector=a%3Db'))).toBe(true);
});

test('goes on from the version last seen, a bookmark included, so nothing is missed', async () => {
  const from: (string | null)[] = [];
  const { log } = await played(
    [page('7', [])],
    [
      (to, path) => {
        from.push(versionIn(path));
        to.event({ type: 'BOOKMARK', object: { metadata: { resourceVersion: '20' } } });
      },
      (_, path) => {
        from.push(versionIn(path));
        throw new Error('broken off');
      },
      (to, path) => {
        from.push(versionIn(path));
        to.event({ type: 'ADDED', object: object('late', '21') });
      },
    ],
    'changed late',
  );
  expect(from).toEqual(['7', '20', '20']);
  expect(log.filter((line) => line === 'listing')).toHaveLength(1);
  expect(log).toContain('failed: broken off');
});

test.each<[string, Watch]>([
  [
    'an ERROR event',
    (to) => to.event({ type: 'ERROR', object: { code: 410, message: 'too old resource version' } }),
  ],
  [
    'an answer',
    () => {
      throw new Refused(410, 'too old resource version');
    },
  ],
])('lists again if the version is gone, told by %s, and calls that no failure', async (_, gone) => {
  const { log } = await played([page('7', ['a']), page('90', ['b'])], [gone], 'listed b');
  expect(log).toEqual(['listing', 'listed a', 'listed all', 'listing', 'listed b', 'listed all']);
});

test('a list that fails in its middle begins anew, and the failure is told', async () => {
  const { log } = await played(
    [page('7', ['a'], 'more'), new Error('ECONNRESET'), page('8', ['a', 'b'])],
    [],
    'listed all',
  );
  expect(log).toEqual([
    'listing',
    'listed a',
    'failed: ECONNRESET',
    'listing',
    'listed a',
    'listed b',
    'listed all',
  ]);
});

test('a refusal is told in the words of the server', async () => {
  const forbidden = { status: 403, body: { message: 'configmaps is forbidden: cannot list' } };
  const { log } = await played([forbidden, page('7', [])], [], 'listed all');
  expect(log).toContain('failed: configmaps is forbidden: cannot list');
});

test('a kind that the cluster does not serve has no objects, and that is no failure', async () => {
  const { log } = await played([{ status: 404, body: {} }], [], 'listed all');
  expect(log).toEqual(['listing', 'listed all']);
});
