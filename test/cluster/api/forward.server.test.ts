import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { text } from 'node:stream/consumers';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { connect, type PodConnection } from '../../../src/cluster/api/reader.ts';
import { SimulatedApi } from '../../support/simulated-api.ts';

type Answer = (request: IncomingMessage, response: ServerResponse, body: string) => void;

const SAY_OK: Answer = (_request, response) => void response.end('{"ok":true}');
const STATUS = { method: 'GET', path: '/v1/status' } as const;
const FREEZE = {
  method: 'POST',
  path: '/v1/freeze',
  body: { id: 'a' },
  headers: { 'idempotency-key': 'k' },
} as const;
const PLACE = { namespace: 'shop', pod: 'db-0', port: 8_095 };

let api: SimulatedApi;
let server: Server;
let pod: PodConnection;
let answer: Answer = SAY_OK;
/** What the server in the pod got: the port that the connection comes from, and the request. */
let asked: { from: number | undefined; line: string; key: unknown; body: string }[];
let streams: number;

beforeEach(async () => {
  [answer, asked, streams] = [SAY_OK, [], 0];
  server = createServer((request, response) => {
    const from = request.socket.remotePort;
    void text(request).then((body) => {
      const line = `${request.method} ${request.url}`;
      asked.push({ from, line, key: request.headers['idempotency-key'], body });
      answer(request, response, body);
    });
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  api = await new SimulatedApi().start();
  api.pods.set('shop/db-0', { port: (server.address() as AddressInfo).port });
  api.watch = (method) => void (streams += method === 'STREAM' ? 1 : 0);
  pod = connect({ kubeconfig: api.kubeconfig });
});

afterEach(async () => {
  await api.stop();
  server.closeAllConnections();
  server.close();
});

const call = (request: Parameters<PodConnection['call']>[1], ms = 10_000) =>
  pod.call(PLACE, request, AbortSignal.timeout(ms));

describe('requests to a port of a pod', () => {
  it('share one connection if one follows the other', async () => {
    for (const request of [STATUS, FREEZE, STATUS]) {
      expect(await call(request)).toEqual({ status: 200, body: { ok: true } });
    }
    expect(asked.map(({ line }) => line)).toEqual([
      'GET /v1/status',
      'POST /v1/freeze',
      'GET /v1/status',
    ]);
    expect(new Set(asked.map(({ from }) => from)).size).toBe(1);
    expect(streams).toBe(1);
  });

  it('have connections of their own at the same time', async () => {
    await Promise.all([call(STATUS), call(FREEZE), call(STATUS)]);
    expect(streams).toBe(3);
    await Promise.all([call(STATUS), call(STATUS)]);
    expect(streams).toBe(3);
  });

  it('get a new connection once the server has closed the idle one', async () => {
    server.keepAliveTimeout = 100;
    await call(STATUS);
    await sleep(1_500);
    expect((await call(FREEZE)).status).toBe(200);
    expect(streams).toBe(2);
  });

  it('get a new connection where the server wants to close the last one', async () => {
    answer = (_request, response) => void response.setHeader('connection', 'close').end('{}');
    await call(STATUS);
    await call(STATUS);
    expect(streams).toBe(2);
  });

  it('are sent again, with the same key, if a kept connection breaks under them', async () => {
    await call(STATUS);
    answer = (request, response, body) => {
      if (asked.length === 2) request.socket.destroy();
      else SAY_OK(request, response, body);
    };
    expect(await call(FREEZE)).toEqual({ status: 200, body: { ok: true } });
    const [, first, second] = asked;
    expect(second).toEqual({ ...first, from: expect.any(Number) as number });
    expect([first?.key, first?.body, streams]).toEqual(['k', '{"id":"a"}', 2]);
  });

  it('are sent again if the API server drops every kept connection', async () => {
    await Promise.all([call(STATUS), call(STATUS), call(STATUS)]);
    api.cut();
    api.mend();
    expect((await call(FREEZE)).status).toBe(200);
  });

  it('fail if a new connection breaks: who calls decides what happens then', async () => {
    answer = (request) => void request.socket.destroy();
    await expect(call(FREEZE)).rejects.toThrow();
    expect(asked).toHaveLength(1);
    // Nothing of it is left for the next one.
    answer = SAY_OK;
    expect((await call(STATUS)).status).toBe(200);
  });

  it('end with their signal, and so does the connection', async () => {
    await call(STATUS);
    const closed = new Promise<void>((resolve) => {
      answer = (request) => void request.socket.on('close', resolve);
    });
    await expect(call(FREEZE, 300)).rejects.toMatchObject({ name: 'TimeoutError' });
    await closed;
    answer = SAY_OK;
    expect((await call(STATUS)).status).toBe(200);
    expect(streams).toBe(2);
  });

  it('keep their connection while they wait long for their answer', async () => {
    answer = (request, response, body) =>
      void setTimeout(() => SAY_OK(request, response, body), 4_500);
    await call(STATUS);
    expect((await call(FREEZE)).status).toBe(200);
    expect(streams).toBe(1);
  }, 20_000);

  it('leave no connection that keeps a process alive, or lasts', async () => {
    const open = () => new Promise<number>((done) => server.getConnections((_, n) => done(n)));
    const alive = () =>
      process.getActiveResourcesInfo().filter((one) => one === 'TCPSocketWrap').length;
    const before = alive();
    await call(STATUS);
    await sleep(50);
    // Those that remain are ends of the servers here: the API server’s two, and the pod’s.
    expect([await open(), alive() - before]).toEqual([1, 3]);
    await expect.poll(open, { timeout: 8_000, interval: 200 }).toBe(0);
  }, 20_000);
});
