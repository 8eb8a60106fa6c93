import { createHash } from 'node:crypto';
import { once } from 'node:events';
import { rm, writeFile } from 'node:fs/promises';
import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { join } from 'node:path';
import { afterEach, describe, expect, it } from 'vitest';
import { stringify } from 'yaml';
import { type ClusterReader, connectReader } from '../../../src/cluster/api/reader.ts';
import { makeTempDir } from '../../support/temp-dir.ts';

const undo: (() => unknown)[] = [];
afterEach(async () => {
  for (const one of undo.splice(0).toReversed()) await one();
});

/** An unmasked frame from a server (RFC 6455), for stream 1 or 2, or 3 for the status. */
function frame(stream: number, text: string): Buffer {
  const payload = Buffer.concat([Buffer.from([stream]), Buffer.from(text)]);
  const length =
    payload.length < 126
      ? Buffer.from([payload.length])
      : Buffer.from([126, payload.length >> 8, payload.length & 255]);
  return Buffer.concat([Buffer.from([0x82]), length, payload]);
}

/** The exec endpoint of an API server, with the protocol v4.channel.k8s.io. */
async function execServer(frames: readonly Buffer[] | 'silent'): Promise<{
  readonly reader: ClusterReader;
  readonly asked: string[];
}> {
  const asked: string[] = [];
  const server: Server = createServer();
  server.on('upgrade', (request, socket) => {
    asked.push(request.url ?? '');
    const accept = createHash('sha1')
      .update(`${request.headers['sec-websocket-key']}258EAFA5-E914-47DA-95CA-C5AB0DC85B11`)
      .digest('base64');
    socket.write(
      `HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: ${accept}\r\nSec-WebSocket-Protocol: v4.channel.k8s.io\r\n\r\n`,
    );
    socket.on('error', () => undefined);
    if (frames === 'silent') socket.end(Buffer.from([0x88, 0]));
    else for (const one of frames) socket.write(one);
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  undo.push(() => server.closeAllConnections());
  undo.push(() => server.close());
  const dir = await makeTempDir();
  undo.push(() => rm(dir, { recursive: true, force: true }));
  const kubeconfig = join(dir, 'config');
  const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  await writeFile(
    kubeconfig,
    stringify({
      apiVersion: 'v1',
      kind: 'Config',
      'current-context': 'c',
      clusters: [{ name: 'c', cluster: { server: url, 'insecure-skip-tls-verify': true } }],
      users: [{ name: 'u', user: {} }],
      contexts: [{ name: 'c', context: { cluster: 'c', user: 'u' } }],
    }),
  );
  return { reader: connectReader({ kubeconfig }), asked };
}

const PLACE = { namespace: 'shop', pod: 'db-0', container: 'quiesce' };

describe('a command in a pod', () => {
  it('resolves with all its output, on both streams and with any exit code', async () => {
    const failed = JSON.stringify({
      status: 'Failure',
      reason: 'NonZeroExitCode',
      details: { causes: [{ reason: 'ExitCode', message: '5' }] },
    });
    const { reader, asked } = await execServer([
      frame(1, '{"state":'),
      frame(1, `"thawed","long":"${'x'.repeat(40_000)}"}\n`),
      frame(2, 'a word\n'),
      frame(3, failed),
    ]);
    const { stdout, stderr } = await reader.run(PLACE, ['quiesce', 'status', '-o', 'json']);
    expect(JSON.parse(stdout)).toMatchObject({ state: 'thawed' });
    expect(stderr).toBe('a word\n');
    expect(asked[0]).toMatch(/^\/api\/v1\/namespaces\/shop\/pods\/db-0\/exec\?/);
    const query = new URLSearchParams(asked[0]?.split('?')[1]);
    expect(query.getAll('command')).toEqual(['quiesce', 'status', '-o', 'json']);
    expect([query.get('container'), query.get('stdin'), query.get('tty')]).toEqual([
      'quiesce',
      'false',
      'false',
    ]);
  });

  it('ends when the connection closes', async () => {
    const { reader } = await execServer('silent');
    expect(await reader.run(PLACE, ['quiesce', 'status'])).toEqual({ stdout: '', stderr: '' });
  });
});
