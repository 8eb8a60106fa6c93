import { createServer, type Server } from 'node:net';
import { once } from 'node:events';
import { afterEach, describe, expect, it } from 'vitest';
import { run } from '../../../src/commands/isolated.ts';

const servers: Server[] = [];

afterEach(() => {
  for (const one of servers.splice(0)) one.close();
});

async function listening(): Promise<number> {
  const server = createServer((socket) => socket.destroy());
  servers.push(server);
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  return (server.address() as { port: number }).port;
}

const soon = ['--for', '300ms', '--within', '1s'];

describe('the probe of the isolation', () => {
  it('ends with 5 where something is reached', async () => {
    const port = await listening();
    expect(await run([...soon, `127.0.0.1:${port}`])).toBe(5);
  });

  it('ends with 0 where nothing is, and where it is closed in time', async () => {
    const port = await listening();
    setTimeout(() => servers.splice(0).forEach((one) => one.close()), 400);
    expect(await run([...soon, `127.0.0.1:${port}`])).toBe(0);
  });

  it('never takes no address for isolation, nor a word that is none', async () => {
    expect(await run(soon)).toBe(2);
    expect(await run([...soon, '127.0.0.1'])).toBe(2);
  });

  it('always tries the API server of the pod', async () => {
    const port = await listening();
    process.env['KUBERNETES_SERVICE_HOST'] = '127.0.0.1';
    process.env['KUBERNETES_SERVICE_PORT'] = String(port);
    try {
      expect(await run([...soon, '127.0.0.1:1'])).toBe(5);
    } finally {
      delete process.env['KUBERNETES_SERVICE_HOST'];
      delete process.env['KUBERNETES_SERVICE_PORT'];
    }
  });
});
