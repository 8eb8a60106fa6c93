import { once } from 'node:events';
import { mkdtemp, rm } from 'node:fs/promises';
import { type AddressInfo, connect } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { buildControlApp } from '../../src/http/app.ts';
import { buildObservabilityApp } from '../../src/http/observability.ts';
import { createLogger } from '../../src/logger.ts';
import { claimSocket, listenOnSocket } from '../../src/sidecar/control-socket.ts';
import { FakeControl } from '../support/fake-control.ts';
import { raw, rawAll } from './raw.ts';

const logger = createLogger({ level: 'silent' });
const health = () => ({ ok: true, message: 'fine' });
let dir: string;
let control: FakeControl;
let apps: ReturnType<typeof buildControlApp>[];
let socket: { path: string };
let loopback: { host: string; port: number };
let observability: { host: string; port: number };

beforeEach(async () => {
  dir = await mkdtemp(join(tmpdir(), 'quiesce-malformed-'));
  control = new FakeControl();
  const onSocket = buildControlApp({ control, transport: 'socket', logger });
  const onTcp = buildControlApp({ control, transport: 'tcp', logger });
  const open = buildObservabilityApp({
    metrics: () => 'up 1\n',
    live: health,
    ready: health,
    logger,
  });
  apps = [onSocket, onTcp, open];
  socket = { path: join(dir, 'control.sock') };
  await claimSocket(socket.path);
  await listenOnSocket(onSocket, socket.path);
  const ports = [];
  for (const app of [onTcp, open]) {
    await app.listen({ host: '127.0.0.1', port: 0 });
    ports.push({ host: '127.0.0.1', port: (app.server.address() as AddressInfo).port });
  }
  [loopback, observability] = ports as [typeof loopback, typeof loopback];
});
afterEach(async () => {
  await Promise.all(apps.map((app) => app.close()));
  await rm(dir, { recursive: true, force: true });
});

const SAID = expect.stringMatching(/^[A-Z].+/) as string;
const HOST = 'Host: localhost\r\n';
const CLOSE = `${HOST}Connection: close\r\n`;
const JSON_TYPE = 'Content-Type: application/json\r\n';
const POST = 'POST /v1/freeze HTTP/1.1\r\n';
const many = (count: number): string =>
  Array.from({ length: count }, (_, at) => `x${at}: 1\r\n`).join('');

/** Name, bytes, and the status and code that they must be answered with. */
const REFUSED: readonly (readonly [string, string, number, string])[] = [
  ['no request', 'GARBAGE\r\n\r\n', 400, 'BAD_REQUEST'],
  ['zeros', '\0\0\0\0\r\n\r\n', 400, 'BAD_REQUEST'],
  ['the start of TLS', '\u0016\u0003\u0001\u0002\0\u0001\0\u0001\r\n\r\n', 400, 'BAD_REQUEST'],
  ['HTTP/0.9', 'GET /v1/status\r\n\r\n', 400, 'BAD_REQUEST'],
  ['HTTP/2 without TLS', 'PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n', 400, 'BAD_REQUEST'],
  ['HTTP/2.0', `GET /v1/status HTTP/2.0\r\n${CLOSE}\r\n`, 400, 'BAD_REQUEST'],
  ['no Host', `${POST}Connection: close\r\n\r\n`, 400, 'BAD_REQUEST'],
  ['two Hosts', `${POST}${HOST}${CLOSE}\r\n`, 400, 'BAD_REQUEST'],
  ['two other Hosts', `${POST}Host: evil.example\r\n${CLOSE}\r\n`, 400, 'BAD_REQUEST'],
  ['two Hosts in HTTP/1.0', `POST /v1/freeze HTTP/1.0\r\n${HOST}${CLOSE}\r\n`, 400, 'BAD_REQUEST'],
  ['a Host of two', `${POST}Host: localhost, evil.example\r\n\r\n`, 400, 'BAD_REQUEST'],
  ['a Host with a path', `${POST}Host: localhost/x\r\n\r\n`, 400, 'BAD_REQUEST'],
  ['a Host with a user', `${POST}Host: localhost@evil.example\r\n\r\n`, 400, 'BAD_REQUEST'],
  [
    'two Content-Types',
    `${POST}${CLOSE}${JSON_TYPE}Content-Type: text/plain\r\nContent-Length: 2\r\n\r\n{}`,
    400,
    'BAD_REQUEST',
  ],
  [
    'two tokens',
    `${POST}${CLOSE}Authorization: Bearer a\r\nAuthorization: Bearer b\r\n\r\n`,
    400,
    'BAD_REQUEST',
  ],
  ['a length that is not a number', `${POST}${CLOSE}Content-Length: x\r\n\r\n`, 400, 'BAD_REQUEST'],
  ['a negative length', `${POST}${CLOSE}Content-Length: -1\r\n\r\n`, 400, 'BAD_REQUEST'],
  [
    'two lengths',
    `${POST}${CLOSE}${JSON_TYPE}Content-Length: 2\r\nContent-Length: 3\r\n\r\n{}`,
    400,
    'BAD_REQUEST',
  ],
  [
    'the same length twice',
    `${POST}${CLOSE}${JSON_TYPE}Content-Length: 2\r\nContent-Length: 2\r\n\r\n{}`,
    400,
    'BAD_REQUEST',
  ],
  [
    'a list of lengths',
    `${POST}${CLOSE}${JSON_TYPE}Content-Length: 2, 2\r\n\r\n{}`,
    400,
    'BAD_REQUEST',
  ],
  [
    'length and chunks',
    `${POST}${CLOSE}Content-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n{}`,
    400,
    'BAD_REQUEST',
  ],
  [
    'chunked twice',
    `${POST}${CLOSE}Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n`,
    400,
    'BAD_REQUEST',
  ],
  [
    'gzip as transfer coding',
    `${POST}${CLOSE}Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n`,
    400,
    'BAD_REQUEST',
  ],
  [
    'an unknown transfer coding',
    `${POST}${CLOSE}Transfer-Encoding: cow\r\n\r\n0\r\n\r\n`,
    400,
    'BAD_REQUEST',
  ],
  [
    'chunks in HTTP/1.0',
    `POST /v1/freeze HTTP/1.0\r\n${HOST}Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n`,
    400,
    'BAD_REQUEST',
  ],
  [
    'no size of a chunk',
    `${POST}${CLOSE}Transfer-Encoding: chunked\r\n\r\nzz\r\n`,
    400,
    'BAD_REQUEST',
  ],
  [
    'a chunk that is too long',
    `${POST}${CLOSE}${JSON_TYPE}Transfer-Encoding: chunked\r\n\r\n1\r\n{}\r\n0\r\n\r\n`,
    400,
    'BAD_REQUEST',
  ],
  ['a space in a name', `${POST}${CLOSE}Bad Header: 1\r\n\r\n`, 400, 'BAD_REQUEST'],
  ['a space before the colon', `${POST}${CLOSE}Content-Length : 0\r\n\r\n`, 400, 'BAD_REQUEST'],
  ['no path', 'GET v1/status HTTP/1.1\r\n\r\n', 400, 'BAD_REQUEST'],
  ['another scheme', `GET ftp://localhost/v1/status HTTP/1.1\r\n${CLOSE}\r\n`, 400, 'BAD_REQUEST'],
  ['GET *', `GET * HTTP/1.1\r\n${CLOSE}\r\n`, 400, 'BAD_REQUEST'],
  ['OPTIONS *', `OPTIONS * HTTP/1.1\r\n${CLOSE}\r\n`, 405, 'METHOD_NOT_ALLOWED'],
  ['CONNECT', `CONNECT localhost:80 HTTP/1.1\r\n${CLOSE}\r\n`, 405, 'METHOD_NOT_ALLOWED'],
  ['an expectation', `${POST}${CLOSE}Expect: x\r\n\r\n`, 417, 'EXPECTATION_FAILED'],
  ['two expectations', `${POST}${CLOSE}Expect: 100-continue, x\r\n\r\n`, 417, 'EXPECTATION_FAILED'],
  [
    'a header of 20 kB',
    `${POST}${CLOSE}X: ${'x'.repeat(20_000)}\r\n\r\n`,
    431,
    'HEADERS_TOO_LARGE',
  ],
  [
    'a target of 20 kB',
    `GET /${'x'.repeat(20_000)} HTTP/1.1\r\n${CLOSE}\r\n`,
    431,
    'HEADERS_TOO_LARGE',
  ],
  ['101 headers', `${POST}${CLOSE}${many(99)}\r\n`, 431, 'HEADERS_TOO_LARGE'],
  ['1,500 headers', `${POST}${CLOSE}${many(1_500)}\r\n`, 431, 'HEADERS_TOO_LARGE'],
];

describe('a malformed request', () => {
  it.each(REFUSED)(
    '%s is refused on every port, in our form',
    async (_name, sent, status, code) => {
      for (const where of [socket, loopback, observability]) {
        const answer = await raw(where, sent);
        expect([answer.status, answer.body?.error?.code]).toEqual([status, code]);
        expect(answer.body.error).toMatchObject({ message: SAID, hint: SAID });
        expect(answer.head).toMatch(/^content-type: application\/json; charset=utf-8$/im);
        expect(answer.head).toMatch(/^connection: close$/im);
      }
      expect(control.freezes).toEqual([]);
    },
  );

  it.each(['PROPFIND', 'TRACE', 'PURGE', 'QUERY', 'LINK', 'FOO', 'get', 'M-SEARCH'])(
    'the method %s is answered with those that are allowed',
    async (method) => {
      const answer = await raw(socket, `${method} /v1/freeze HTTP/1.1\r\n${CLOSE}\r\n`);
      expect(answer).toMatchObject({
        status: 405,
        body: { error: { code: 'METHOD_NOT_ALLOWED' } },
      });
      expect(answer.head).toMatch(/^allow: POST$/im);
      const nowhere = await raw(socket, `${method} /nowhere HTTP/1.1\r\n${CLOSE}\r\n`);
      expect(nowhere).toMatchObject({ status: 404, body: { error: { code: 'NOT_FOUND' } } });
    },
  );

  it.each([
    [
      'a broken body',
      `PUT /v1/freeze HTTP/1.1\r\n${CLOSE}${JSON_TYPE}Content-Length: 1\r\n\r\n{`,
      405,
    ],
    [
      'a malformed type',
      `PUT /v1/freeze HTTP/1.1\r\n${CLOSE}Content-Type: ;;\r\nContent-Length: 1\r\n\r\n{`,
      405,
    ],
    ['a body that never comes', `PUT /nowhere HTTP/1.1\r\n${HOST}Content-Length: 1\r\n\r\n`, 404],
  ])('is refused for its method or path even where it has %s', async (_name, sent, status) => {
    const client = connect(socket.path);
    client.write(sent);
    const [answer] = (await once(client, 'data')) as [Buffer];
    expect(answer.toString()).toMatch(new RegExp(`^HTTP/1\\.1 ${status} `));
    client.destroy();
  });

  it('is answered with 415 where the body is compressed', async () => {
    const head = `${POST}${CLOSE}${JSON_TYPE}Content-Encoding: gzip\r\nContent-Length: 2\r\n\r\n{}`;
    const answer = await raw(socket, head);
    expect(answer).toMatchObject({
      status: 415,
      body: { error: { code: 'UNSUPPORTED_MEDIA_TYPE' } },
    });
  });

  it('is answered after the request before it, and not in its place', async () => {
    control.onThaw = async () => {
      await new Promise((resolve) => setTimeout(resolve, 100));
      throw new Error('the answer to the first');
    };
    const [first, second] = await rawAll(socket, `POST /v1/thaw HTTP/1.1\r\n${HOST}\r\n\0\0\r\n`);
    expect([first?.status, second?.status]).toEqual([500, 400]);
    expect(control.thaws).toHaveLength(1);
  });
});

describe('a well-formed but unusual request', () => {
  it.each([
    [
      'an upgrade, which is ignored,',
      `POST /v1/freeze HTTP/1.1\r\n${HOST}Connection: Upgrade, close\r\nUpgrade: h2c\r\n\r\n`,
    ],
    ['HTTP/1.0', `POST /v1/freeze HTTP/1.0\r\n${HOST}\r\n`],
    [
      'an expectation in HTTP/1.0, which has none',
      `POST /v1/freeze HTTP/1.0\r\n${HOST}Expect: x\r\n\r\n`,
    ],
    ['the absolute form', `POST http://localhost/v1/freeze HTTP/1.1\r\n${CLOSE}\r\n`],
    [
      'the absolute form in capitals',
      `POST HTTP://LOCALHOST:80/v1/freeze HTTP/1.1\r\n${CLOSE}\r\n`,
    ],
    ['100 headers', `${POST}${CLOSE}${many(98)}\r\n`],
    [
      'a trailer',
      `${POST}${CLOSE}${JSON_TYPE}Transfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\nx: 1\r\n\r\n`,
    ],
  ])('(%s) is accepted', async (_name, sent) => {
    for (const where of [socket, loopback]) {
      expect(await raw(where, sent)).toMatchObject({ status: 200, body: { verdict: 'held' } });
    }
    expect(control.freezes).toHaveLength(2);
  });

  it('may be pipelined, and the answers come in order', async () => {
    const one = `GET /v1/status HTTP/1.1\r\n${HOST}\r\n`;
    const last = `GET /v1/receipts HTTP/1.1\r\n${CLOSE}\r\n`;
    const answers = await rawAll(socket, `${one}${one}${last}`);
    expect(answers.map(({ status }) => status)).toEqual([200, 200, 200]);
    expect(answers[2]?.body).toMatchObject({ receipts: [] });
  });

  it('may not be pipelined by the thousand', async () => {
    control.onFreeze = () => new Promise(() => undefined);
    const one = `${POST}${HOST}\r\n`;
    const client = connect(socket.path);
    client.on('error', () => undefined);
    client.write(one.repeat(1_000));
    await expect.poll(() => control.freezes.length).toBe(4);
    await new Promise((resolve) => setTimeout(resolve, 100));
    expect(control.freezes).toHaveLength(4);
    client.destroy();
  });
});

describe('a client that waits for 100 Continue', () => {
  const head = (more: string): string =>
    `${POST}${CLOSE}Expect: 100-continue\r\n${JSON_TYPE}${more}\r\n`;

  it('gets it', async () => {
    const client = connect(socket.path);
    client.write(head('Content-Length: 11\r\n'));
    const [interim] = (await once(client, 'data')) as [Buffer];
    expect(interim.toString()).toBe('HTTP/1.1 100 Continue\r\n\r\n');
    client.write('{"id":"e1"}');
    const [answer] = (await once(client, 'data')) as [Buffer];
    expect(answer.toString()).toMatch(/^HTTP\/1\.1 200 /);
    expect(control.freezes[0]).toMatchObject({ id: 'e1' });
    client.destroy();
  });

  it.each([
    ['too large', head('Content-Length: 70000\r\n'), 413],
    ['sent elsewhere', head('Content-Length: 5\r\n').replace('/v1/freeze', '/v1/frieze'), 404],
    ['sent in another way', head('Content-Length: 5\r\n').replace('POST', 'PUT'), 405],
  ])('is refused immediately where its request is %s', async (_name, sent, status) => {
    const begun = performance.now();
    const answer = await raw(socket, sent);
    expect(answer.status).toBe(status);
    expect(answer.head).toMatch(/^connection: close$/im);
    expect(performance.now() - begun).toBeLessThan(1_500);
  });

  it('is refused immediately on the loopback port where its Host is refused', async () => {
    const sent = head('Content-Length: 5\r\n').replace('Host: localhost', 'Host: evil.example');
    expect(await raw(loopback, sent)).toMatchObject({ status: 403 });
  });
});

describe('the Host rule of the loopback port', () => {
  it.each([
    ['the target names another', `POST http://evil.example/v1/freeze HTTP/1.1\r\n${CLOSE}\r\n`],
    [
      'the target names one with a user',
      `POST http://localhost@evil.example/v1/freeze HTTP/1.1\r\n${CLOSE}\r\n`,
    ],
    [
      'the header names another',
      `POST http://localhost/v1/freeze HTTP/1.1\r\nHost: evil.example\r\nConnection: close\r\n\r\n`,
    ],
    ['the header is empty', `${POST}Host:\r\nConnection: close\r\n\r\n`],
    ['HTTP/1.0 has none', 'POST /v1/freeze HTTP/1.0\r\n\r\n'],
  ])('holds where %s', async (_name, sent) => {
    const answer = await raw(loopback, sent);
    expect([400, 403]).toContain(answer.status);
    expect(answer.body.error.code).toMatch(/^(?:HOST_REFUSED|BAD_REQUEST)$/);
    expect(control.freezes).toEqual([]);
  });

  it('cannot be evaded with an Origin behind many other headers', async () => {
    const sent = `${POST}${CLOSE}${many(1_200)}Origin: http://evil.example\r\n\r\n`;
    expect((await raw(loopback, sent)).status).toBe(431);
    expect(control.freezes).toEqual([]);
  });
});
