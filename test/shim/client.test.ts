import { once } from 'node:events';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { createServer, type Server, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { type Call, call, Unanswered } from '../../src/shim/client.ts';

let dir: string;
let path: string;
let server: Server | undefined;
beforeEach(async () => {
  dir = await mkdtemp(join(tmpdir(), 'quiesce-client-'));
  path = join(dir, 's');
});
afterEach(async () => {
  server?.close();
  server = undefined;
  await rm(dir, { recursive: true, force: true });
});

/** A server that calls `answer` for each connection, once the whole request has arrived. */
async function listen(answer: (socket: Socket, request: string) => unknown): Promise<void> {
  server = createServer((socket) => {
    socket.on('error', () => undefined);
    let request = '';
    socket.on('data', (piece: Buffer) => {
      request += piece.toString();
      if (/\r\n\r\n(?:$|\{.*\}$)/s.test(request)) void answer(socket, request);
    });
  }).listen(path);
  await once(server, 'listening');
}

const FREEZE: Call = {
  method: 'POST',
  path: '/v1/freeze',
  body: { id: 'ü' },
  deadlineMs: 5_000,
  unanswered: 'Nothing is known.',
};

function send(wanted: Partial<Call> = {}, signal = new AbortController().signal) {
  return call(path, { ...FREEZE, ...wanted }, signal);
}

async function failure(sent: Promise<unknown>): Promise<Unanswered> {
  const error = await sent.then(
    (answer) => answer,
    (thrown: unknown) => thrown,
  );
  expect(error).toBeInstanceOf(Unanswered);
  expect((error as Unanswered).code).toBe('SIDECAR_UNREACHABLE');
  return error as Unanswered;
}

const ANSWER = 'HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n{}';

describe('a call', () => {
  it('sends one well-formed request, with additional headers if asked to', async () => {
    let seen = '';
    await listen((socket, request) => {
      seen = request;
      socket.end(ANSWER);
    });
    expect(await send({ headers: { 'idempotency-key': 'k1' } })).toEqual({ ok: true, body: {} });
    const [head = '', body] = seen.split('\r\n\r\n');
    expect(body).toBe('{"id":"ü"}');
    expect(head.split('\r\n')).toEqual([
      'POST /v1/freeze HTTP/1.1',
      'host: localhost',
      'user-agent: quiesce-cli/0.1.0',
      'connection: close',
      'content-type: application/json',
      'content-length: 11',
      'idempotency-key: k1',
    ]);
  });

  it('refuses values that would begin a line of their own', async () => {
    let called = false;
    await listen(() => (called = true));
    for (const wanted of [
      { headers: { 'idempotency-key': 'k\r\nhost: evil' } },
      { headers: { 'x y\n': 'k' } },
      { path: '/v1/receipts/a HTTP/1.1\r\nx:' },
    ]) {
      await expect(send(wanted)).rejects.toThrow(TypeError);
    }
    expect(called).toBe(false);
  });

  it('does not wait for the connection to close once the answer is complete', async () => {
    let closed = false;
    await listen((socket) => {
      socket.write(ANSWER);
      socket.on('close', () => (closed = true));
    });
    expect((await send()).ok).toBe(true);
    await expect.poll(() => closed).toBe(true);
  });

  it('reads an answer that arrives byte by byte', async () => {
    await listen(async (socket) => {
      for (const letter of ANSWER) {
        socket.write(letter);
        await sleep(1);
      }
    });
    expect((await send()).ok).toBe(true);
  });
});

describe('without an answer', () => {
  it.each([
    ['closes at once', ''],
    ['closes within the head', 'HTTP/1.1 200 OK\r\ncontent-le'],
    ['closes within the body', 'HTTP/1.1 200 OK\r\ncontent-length: 20\r\n\r\n{}'],
    ['closes between chunks', 'HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n2\r\n{}\r\n'],
    ['closes after a sign of life', 'HTTP/1.1 102 Processing\r\n\r\n'],
    ['sends garbage', 'garbage\r\n\r\n'],
    ['sends two answers', ANSWER + ANSWER],
    ['never ends its head', `HTTP/1.1 200 OK\r\nx: ${'x'.repeat(100_000)}`],
  ])('from a server that %s, the call counts as sent', async (_what, text) => {
    await listen((socket) => socket.end(text));
    const error = await failure(send());
    expect([error.failure, error.message]).toEqual([
      'broken',
      'The sidecar closed the connection without an answer. Nothing is known.',
    ]);
  });

  it('from a server that resets the connection, the call counts as sent', async () => {
    await listen((socket) => socket.destroy());
    expect((await failure(send())).failure).toBe('broken');
  });

  it('because nothing listens, the call counts as not sent', async () => {
    await writeFile(join(dir, 'file'), '');
    const places = [path, join(dir, 'file'), dir, `/${'x'.repeat(300)}`];
    for (path of places) {
      const error = await failure(send());
      expect([path, error.failure]).toEqual([path, 'not-connected']);
      expect(error.message).toMatch(/^Nothing answers on /);
    }
  });

  it('at the deadline, the connection is closed', async () => {
    const gone = new Promise<void>((resolve) => {
      void listen((socket) => {
        socket.write('HTTP/1.1 200 OK\r\n');
        socket.on('close', () => resolve());
      });
    });
    await expect.poll(() => server?.listening).toBe(true);
    const error = await failure(send({ deadlineMs: 200 }));
    expect([error.failure, error.message]).toEqual([
      'late',
      'The sidecar gave no answer within 0.2 s. Nothing is known.',
    ]);
    await gone;
  });

  it.each([0, 100])('with a signal after %d ms, the connection is closed', async (ms) => {
    let connections = 0;
    await listen((socket) => {
      connections += 1;
      socket.on('close', () => (connections -= 1));
    });
    const abort = new AbortController();
    if (ms === 0) abort.abort();
    else setTimeout(() => abort.abort(), ms);
    expect((await failure(send({}, abort.signal))).failure).toBe('aborted');
    await expect.poll(() => connections).toBe(0);
  });
});
