import * as fc from 'fast-check';
import { once } from 'node:events';
import { mkdtemp, rm } from 'node:fs/promises';
import { type IncomingMessage, request } from 'node:http';
import type { AddressInfo } from 'node:net';
import { connect } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { json } from 'node:stream/consumers';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { buildControlApp } from '../../src/http/app.ts';
import { createLogger } from '../../src/logger.ts';
import { claimSocket, listenOnSocket } from '../../src/sidecar/control-socket.ts';
import { FakeControl, aReceipt } from '../support/fake-control.ts';
import { raw } from './raw.ts';

const logger = createLogger({ level: 'silent' });
let dir: string;
let path: string;
let port: number;
let control: FakeControl;
let onSocket: ReturnType<typeof buildControlApp>;
let onTcp: ReturnType<typeof buildControlApp>;

beforeEach(async () => {
  dir = await mkdtemp(join(tmpdir(), 'quiesce-wire-'));
  path = join(dir, 'control.sock');
  control = new FakeControl();
  onSocket = buildControlApp({ control, transport: 'socket', logger });
  onTcp = buildControlApp({ control, transport: 'tcp', logger });
  await claimSocket(path);
  await listenOnSocket(onSocket, path);
  await onTcp.listen({ host: '127.0.0.1', port: 0 });
  port = (onTcp.server.address() as AddressInfo).port;
});
afterEach(async () => {
  await Promise.all([onSocket.close(), onTcp.close()]);
  await rm(dir, { recursive: true, force: true });
});

const CLOSE = 'Host: localhost\r\nConnection: close\r\n';

describe('over a real socket', () => {
  it.each([
    [
      'chunked and empty, JSON',
      'Content-Type: application/json\r\nTransfer-Encoding: chunked\r\n',
      '0\r\n\r\n',
    ],
    ['chunked and empty, no type', 'Transfer-Encoding: chunked\r\n', '0\r\n\r\n'],
    ['no body, JSON', 'Content-Type: application/json\r\n', ''],
    ['no other headers', '', ''],
  ])('takes %s as {}', async (_name, headers, body) => {
    const answer = await raw({ path }, `POST /v1/freeze HTTP/1.1\r\n${CLOSE}${headers}\r\n${body}`);
    expect(answer.status).toBe(200);
    expect(answer.body).toMatchObject({ verdict: 'held' });
    expect(control.freezes[0]?.by).toBe('socket');
  });

  it('takes a chunked body, and refuses one over 64 KiB', async () => {
    const chunk = (text: string) => `${text.length.toString(16)}\r\n${text}\r\n0\r\n\r\n`;
    const head = `POST /v1/freeze HTTP/1.1\r\n${CLOSE}Content-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n`;
    expect((await raw({ path }, head + chunk('{"id":"c1"}'))).body).toMatchObject({ id: 'c1' });
    const large = await raw({ path }, head + chunk(`{"id":"${'x'.repeat(70_000)}"}`));
    expect(large.status).toBe(413);
    expect(large.body).toMatchObject({ error: { code: 'BODY_TOO_LARGE' } });
    expect(control.freezes).toHaveLength(1);
  });

  it('lets a client that sends megabytes see that they are refused', async () => {
    for (let attempt = 0; attempt < 10; attempt += 1) {
      const sent = request({ port, path: '/v1/freeze', method: 'POST', agent: false });
      sent.setHeader('content-type', 'application/json');
      sent.end(JSON.stringify({ id: 'x'.repeat(16 * 1024 * 1024) }));
      const [answer] = (await once(sent, 'response')) as [IncomingMessage];
      expect(answer.statusCode).toBe(413);
      expect(await json(answer)).toMatchObject({ error: { code: 'BODY_TOO_LARGE' } });
    }
    expect(control.freezes).toEqual([]);
  });

  it('answers a client that declares too large a body and never sends it', async () => {
    const head = 'Content-Type: application/json\r\nContent-Length: 70000\r\n\r\n';
    const answer = await raw({ path }, `POST /v1/freeze HTTP/1.1\r\n${CLOSE}${head}`);
    expect(answer.status).toBe(413);
  });

  it('names a loopback caller by address, port and user agent', async () => {
    await raw(
      { port, host: '127.0.0.1' },
      `POST /v1/freeze HTTP/1.1\r\nUser-Agent: curl/8.5\r\n${CLOSE}\r\n`,
    );
    expect(control.freezes[0]?.by).toMatch(/^127\.0\.0\.1:\d+ \(curl\/8\.5\)$/);
  });
});

describe('a caller that goes away', () => {
  it('aborts its freeze', async () => {
    const aborted = new Promise<void>((resolve) => {
      control.onFreeze = ({ gone }) =>
        new Promise((_resolve, reject) => {
          gone?.addEventListener('abort', () => {
            resolve();
            reject(gone.reason as Error);
          });
        });
    });
    const socket = connect(path);
    socket.write('POST /v1/freeze HTTP/1.1\r\nHost: localhost\r\n\r\n');
    while (control.freezes.length === 0) await new Promise((resolve) => setTimeout(resolve, 5));
    socket.destroy();
    await aborted;
    expect(control.freezes[0]?.gone?.aborted).toBe(true);
  });

  it('does not count as gone once it has its answer', async () => {
    await raw({ path }, `POST /v1/freeze HTTP/1.1\r\n${CLOSE}\r\n`);
    await new Promise((resolve) => setTimeout(resolve, 20));
    expect(control.freezes[0]?.gone?.aborted).toBe(false);
  });

  it('does not stop a thaw', async () => {
    let finished = false;
    control.onThaw = async () => {
      await new Promise((resolve) => setTimeout(resolve, 60));
      finished = true;
      return aReceipt();
    };
    const socket = connect(path);
    socket.write('POST /v1/thaw HTTP/1.1\r\nHost: localhost\r\n\r\n');
    while (control.thaws.length === 0) await new Promise((resolve) => setTimeout(resolve, 5));
    socket.destroy();
    await once(socket, 'close');
    await new Promise((resolve) => setTimeout(resolve, 120));
    expect(finished).toBe(true);
    expect(Object.keys(control.thaws[0] ?? {})).toEqual(['by']);
  });
});

describe('garbage', () => {
  const known = fc.constantFrom('id', 'ttl', 'timeout');
  const badValue = fc.oneof(
    fc.integer(),
    fc.constant(null),
    fc.boolean(),
    fc.array(fc.string()),
    fc.string().filter((text) => !/^[A-Za-z0-9._:-]{1,128}$/.test(text)),
  );
  const body = fc.oneof(
    fc.json().filter((text) => text !== '{}'),
    fc.tuple(known, badValue).map(([key, value]) => JSON.stringify({ [key]: value })),
    fc.string({ minLength: 1 }),
    fc
      .tuple(fc.string(), fc.jsonValue())
      .map(([key, value]) => JSON.stringify({ [`x${key}`]: value })),
  );
  /** The only valid bodies that garbage may be by chance. */
  const valid = (text: string): boolean => {
    try {
      const value = JSON.parse(text) as Record<string, unknown>;
      const keys = Object.keys(value).filter((key) => !['id', 'ttl', 'timeout'].includes(key));
      return typeof value === 'object' && !Array.isArray(value) && keys.length === 0;
    } catch {
      return false;
    }
  };

  it('as a body never freezes and never ends in 5xx', async () => {
    await fc.assert(
      fc.asyncProperty(
        body,
        fc.constantFrom('application/json', 'text/plain', ''),
        async (payload, type) => {
          const answer = await onSocket.inject({
            method: 'POST',
            url: '/v1/freeze',
            headers: type === '' ? {} : { 'content-type': type },
            payload,
          });
          fc.pre(!valid(payload) || answer.statusCode >= 400);
          expect(answer.statusCode).toBeGreaterThanOrEqual(400);
          expect(answer.statusCode).toBeLessThan(500);
          expect(answer.json()).toMatchObject({ error: { code: expect.any(String) as string } });
        },
      ),
      { numRuns: 400 },
    );
    expect(control.freezes).toEqual([]);
  });

  it('as bytes never freezes and never ends in 5xx', async () => {
    const line = fc.tuple(
      fc.constantFrom('POST', 'GET', 'PUT', 'FREEZE', ''),
      fc.constantFrom(
        '/v1/freeze',
        '/v1/freeze/',
        '//v1/freeze',
        '/v1/freeze%00',
        '/v1/receipts/%E0%A4',
        '*',
        '',
      ),
      fc.constantFrom('HTTP/1.1', 'HTTP/1.0', 'HTTP/9', ''),
      fc.string({ maxLength: 40 }),
      fc.uint8Array({ minLength: 1, maxLength: 60 }),
    );
    await fc.assert(
      fc.asyncProperty(line, async ([method, url, version, header, bytes]) => {
        const head = `${method} ${url} ${version}\r\n${CLOSE}X-A: ${header}\r\nContent-Type: application/json\r\nContent-Length: ${bytes.length}\r\n\r\n`;
        const answer = await raw({ path }, Buffer.concat([Buffer.from(head), Buffer.from(bytes)]));
        expect(answer.status).toBeLessThan(500);
      }),
      { numRuns: 150 },
    );
    expect(control.freezes).toEqual([]);
  });
});
