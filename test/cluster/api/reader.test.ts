import { once } from 'node:events';
import { readFile, rm, writeFile } from 'node:fs/promises';
import { createServer as createProxy, type RequestListener } from 'node:http';
import { createServer, type Server } from 'node:https';
import { type AddressInfo, connect as dial } from 'node:net';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { connect, type ClusterConnection } from '../../../src/cluster/api/reader.ts';
import { makeCertificates } from '../../support/certificates.ts';
import { makeTempDir } from '../../support/temp-dir.ts';

let dir: string;
let server: Server;
let answer: RequestListener;
let connections: number;
let asked: string[];

const SAY_OK: RequestListener = (_request, response) => void response.end('{"ok":true}');

beforeEach(async () => {
  dir = await makeTempDir();
  await makeCertificates(dir);
  [answer, connections, asked] = [SAY_OK, 0, []];
  const [key, cert] = await Promise.all(
    ['key', 'crt'].map((one) => readFile(join(dir, `server.${one}`))),
  );
  server = createServer({ key, cert }, (request, response) => {
    asked.push(`${request.method} ${request.headers.authorization}`);
    answer(request, response);
  });
  server.on('secureConnection', () => (connections += 1));
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
});

afterEach(async () => {
  server.closeAllConnections();
  server.close();
  await rm(dir, { recursive: true, force: true });
});

const portOf = (one: { address(): unknown }): number => (one.address() as AddressInfo).port;

async function connected(more: object = {}): Promise<ClusterConnection> {
  const kubeconfig = join(dir, 'kubeconfig');
  const cluster = {
    server: `https://127.0.0.1:${portOf(server)}`,
    'certificate-authority': join(dir, 'ca.crt'),
    ...more,
  };
  const config = {
    apiVersion: 'v1',
    kind: 'Config',
    'current-context': 'c',
    clusters: [{ name: 'c', cluster }],
    users: [{ name: 'u', user: { tokenFile: join(dir, 'token') } }],
    contexts: [{ name: 'c', context: { cluster: 'c', user: 'u' } }],
  };
  await writeFile(join(dir, 'token'), 'first');
  await writeFile(kubeconfig, JSON.stringify(config));
  return connect({ kubeconfig });
}

describe('requests to the API server', () => {
  it('share a connection, so that there is one TLS handshake', async () => {
    const api = await connected();
    for (let count = 0; count < 5; count += 1) await api.get('/version');
    await api.send('POST', '/api/v1/namespaces', {});
    expect([asked.length, connections]).toEqual([6, 1]);
  });

  it('send the conditions of a deletion as its body, and leave the connection to the next one', async () => {
    const bodies: string[] = [];
    answer = (request, response) => {
      let body = '';
      request.on('data', (data: Buffer) => (body += data.toString()));
      request.on('end', () => {
        bodies.push(`${request.method} ${body}`);
        response.end('{"ok":true}');
      });
    };
    const api = await connected();
    const given = { preconditions: { uid: 'ä' } };
    for (const method of ['DELETE', 'PATCH', 'DELETE'] as const) {
      expect(await api.send(method, '/one', given)).toMatchObject({ status: 200 });
    }
    const text = JSON.stringify(given);
    expect(bodies).toEqual([`DELETE ${text}`, `PATCH ${text}`, `DELETE ${text}`]);
    expect(connections).toBe(1);
  });

  it('are read again if the server closes a kept connection, and changes are not made twice', async () => {
    const api = await connected();
    await api.get('/version');
    answer = (request, response) => {
      if (asked.length === 2) request.socket.destroy();
      else SAY_OK(request, response);
    };
    expect(await api.get('/version')).toMatchObject({ status: 200, body: { ok: true } });
    expect(asked).toHaveLength(3);
    await api.get('/version');
    answer = (request) => void request.socket.destroy();
    await expect(api.send('POST', '/api/v1/namespaces', {})).rejects.toThrow();
    expect(asked).toHaveLength(5);
  });

  it('wait longer for an answer than an idle connection is kept', async () => {
    const api = await connected();
    await api.get('/version');
    answer = (request, response) => void setTimeout(() => SAY_OK(request, response), 3_500);
    expect(await api.get('/version')).toMatchObject({ status: 200 });
    expect(asked).toHaveLength(2);
  }, 20_000);

  it('go through the proxy that the kubeconfig names', async () => {
    const tunnels: string[] = [];
    const proxy = createProxy();
    proxy.on('connect', (request, socket) => {
      tunnels.push(request.url ?? '');
      const through = dial(portOf(server), '127.0.0.1', () => {
        socket.write('HTTP/1.1 200 OK\r\n\r\n');
        through.pipe(socket).pipe(through);
      });
      for (const one of [through, socket]) one.on('error', () => undefined);
    });
    proxy.listen(0, '127.0.0.1');
    await once(proxy, 'listening');
    const api = await connected({ 'proxy-url': `http://127.0.0.1:${portOf(proxy)}` });
    expect(await api.get('/version')).toMatchObject({ status: 200 });
    expect(tunnels).toEqual([`127.0.0.1:${portOf(server)}`]);
    proxy.close();
  });
});
