import { once } from 'node:events';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { createServer, type RequestListener, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, expect, test } from 'vitest';
import { connectWatcher, type WatchEvent } from '../../../src/cluster/api/watch.ts';

let server: Server | undefined;
let dir: string | undefined;

afterEach(async () => {
  server?.closeAllConnections();
  server?.close();
  if (dir !== undefined) await rm(dir, { recursive: true, force: true });
});

/** Watches a server that is no API server: it answers as no real one can be made to. */
async function watched(
  answer: RequestListener,
  { silentForMs = 5_000, signal = new AbortController().signal } = {},
): Promise<{ events: WatchEvent[]; ended: Promise<void> }> {
  server = createServer(answer).listen(0, '127.0.0.1');
  await once(server, 'listening');
  dir = await mkdtemp(join(tmpdir(), 'q-watch-'));
  const kubeconfig = join(dir, 'config');
  const { port } = server.address() as AddressInfo;
  await writeFile(
    kubeconfig,
    JSON.stringify({
      apiVersion: 'v1',
      kind: 'Config',
      'current-context': 'c',
      clusters: [
        {
          name: 'c',
          cluster: { server: `http://127.0.0.1:${port}`, 'insecure-skip-tls-verify': true },
        },
      ],
      users: [{ name: 'u', user: {} }],
      contexts: [{ name: 'c', context: { cluster: 'c', user: 'u' } }],
    }),
  );
  const events: WatchEvent[] = [];
  const callbacks = { opened: () => undefined, event: (one: WatchEvent) => void events.push(one) };
  const ended = connectWatcher({ kubeconfig }, silentForMs).watch('/x?watch=1', callbacks, signal);
  ended.catch(() => undefined);
  return { events, ended };
}

const line = (name: string): string =>
  `${JSON.stringify({ type: 'ADDED', object: { metadata: { name } } })}\n`;

test('an event that comes in pieces, and several at once, are each read once', async () => {
  const { events, ended } = await watched((_, response) => {
    const text = line('a') + line('b') + line('c');
    response.write(text.slice(0, 11));
    setTimeout(() => response.end(text.slice(11)), 20);
  });
  await ended;
  expect(events).toHaveLength(3);
});

test('a silent connection ends, as its other end may be gone', async () => {
  const { events, ended } = await watched((_, response) => void response.write(line('a')), {
    silentForMs: 100,
  });
  await expect(ended).rejects.toThrow('silent');
  expect(events).toHaveLength(1);
});

test('a server that accepts and never answers is silent, too', async () => {
  const { ended } = await watched(() => undefined, { silentForMs: 100 });
  await expect(ended).rejects.toThrow('silent');
});

test('a connection that breaks off is no end of the watch', async () => {
  const { ended } = await watched((_, response) => {
    response.write(line('a'));
    setTimeout(() => response.destroy(), 20);
  });
  await expect(ended).rejects.toThrow(/broke|aborted|hang up/);
});

test('a refusal has the status and the words of the server', async () => {
  const { ended } = await watched((_, response) => {
    response.writeHead(403).end(JSON.stringify({ message: 'cannot watch x' }));
  });
  await expect(ended).rejects.toMatchObject({ status: 403, message: 'cannot watch x' });
});

test('what is no JSON ends the watch', async () => {
  const { ended } = await watched((_, response) => void response.end('<html>\n'));
  await expect(ended).rejects.toThrow(/JSON/);
});

test('the signal ends it', async () => {
  const ending = new AbortController();
  const { ended } = await watched((_, response) => void response.write(line('a')), {
    signal: ending.signal,
  });
  ending.abort();
  await expect(ended).rejects.toThrow(/abort/i);
});
