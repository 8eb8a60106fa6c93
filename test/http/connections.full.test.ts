import { once } from 'node:events';
import { rm } from 'node:fs/promises';
import { type AddressInfo, connect } from 'node:net';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { get } from '../../src/testbed/processes.ts';
import { buildControlApp } from '../../src/http/app.ts';
import { Connections } from '../../src/http/connections.ts';
import { createListener } from '../../src/http/listener.ts';
import { createLogger } from '../../src/logger.ts';
import { listenOnSocket } from '../../src/sidecar/control-socket.ts';
import { Crowd, openFiles, HELD_OPEN } from '../support/crowd.ts';
import { aReceipt, FakeControl } from '../support/fake-control.ts';
import { makeTempDir } from '../support/postgres.ts';
import { TestSidecar } from '../support/sidecar.ts';
import { raw } from './raw.ts';

const MOST = 256;
const SOON = { timeout: 4_000 };
const crowds: Crowd[] = [];
const undo: (() => unknown)[] = [];

async function crowd(...args: Parameters<typeof Crowd.of>): Promise<Crowd> {
  const one = await Crowd.of(...args);
  crowds.push(one);
  return one;
}

afterEach(async () => {
  for (const one of crowds.splice(0)) one.leave();
  for (const one of undo.splice(0).toReversed()) await one();
});

describe('a sidecar', () => {
  let dir: string;
  let sidecar: TestSidecar;
  beforeAll(async () => {
    dir = await makeTempDir();
    sidecar = new TestSidecar(dir, { PGHOST: dir, PGUSER: 'nobody' });
    await sidecar.start('live');
  });
  afterAll(async () => {
    await sidecar.signal('SIGKILL');
    await rm(dir, { recursive: true, force: true });
  });
  const places = ['the control socket', 'the loopback port', 'the observability port'] as const;
  const where = (place: (typeof places)[number]) =>
    ({
      'the control socket': { path: sidecar.socket },
      'the loopback port': { host: '127.0.0.1', port: sidecar.controlPort },
      'the observability port': { host: '127.0.0.1', port: sidecar.metricsPort },
    })[place];
  const cases = places.flatMap((place) =>
    Object.entries(HELD_OPEN).map(([what, say]) => [place, what, say] as const),
  );

  it.each(cases)(
    'does not keep a thousand connections on %s that have sent %s, and answers other clients',
    async (place, _what, say) => {
      const before = await openFiles(sidecar.pid);
      const held = await crowd(where(place), 1_000, say);
      // Sooner than a timeout for late or idle connections could close them.
      await expect.poll(() => held.closed, SOON).toBeGreaterThanOrEqual(1_000 - MOST);
      expect((await openFiles(sidecar.pid)) - before).toBeLessThan(MOST + 50);
      // The remaining ones are still open, and new clients get their answers.
      const thaw = await sidecar.api('POST', '/v1/thaw', {}, 'tcp');
      expect(thaw).toMatchObject({ status: 409, body: { error: { code: 'NOT_FROZEN' } } });
      expect((await sidecar.api('POST', '/v1/thaw')).status).toBe(409);
      const health = await get({ host: '127.0.0.1', port: sidecar.metricsPort }, '/healthz');
      expect(health.status).toBe(200);
      expect(await sidecar.metrics()).toContain('stateful_backup_frozen');
    },
  );

  it('stops even while clients have sent half a request', async () => {
    const own = new TestSidecar(join(dir, 'own'), { PGHOST: dir, PGUSER: 'nobody' });
    undo.push(() => own.signal('SIGKILL'));
    await own.start('live');
    for (const say of Object.values(HELD_OPEN)) {
      await crowd({ path: own.socket }, 3, say);
      await crowd({ host: '127.0.0.1', port: own.metricsPort }, 3, say);
    }
    const late = sleep(8_000, 'still there', { ref: false });
    expect(await Promise.race([own.stop().then(() => 'gone'), late])).toBe('gone');
  });
});

describe('a listener', () => {
  const logger = createLogger({ level: 'silent' });

  async function listen(control: FakeControl): Promise<{ path: string }> {
    const dir = await makeTempDir();
    const app = buildControlApp({ control, transport: 'socket', logger });
    const path = join(dir, 'control.sock');
    await listenOnSocket(app, path);
    undo.push(() => rm(dir, { recursive: true, force: true }));
    undo.push(() => app.close());
    return { path };
  }

  const ask = (path: string, body = ''): string =>
    `POST ${path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n` +
    `Content-Type: application/json\r\nContent-Length: ${body.length}\r\n\r\n${body}`;

  it('lets a freeze in progress finish, however many connections come after it', async () => {
    const control = new FakeControl();
    let finish: (() => void) | undefined;
    control.onFreeze = () => new Promise((resolve) => (finish = () => resolve(aReceipt())));
    const to = await listen(control);
    const freeze = raw(to, ask('/v1/freeze'));
    await expect.poll(() => control.freezes.length).toBe(1);
    const held = await crowd(to, 1_500);
    await expect.poll(() => held.closed).toBeGreaterThanOrEqual(1_500 - MOST);
    finish?.();
    expect((await freeze).status).toBe(200);
    expect(control.freezes[0]?.gone?.aborted).toBe(false);
  });

  it('answers a thaw while hundreds of other requests wait for their answers', async () => {
    const control = new FakeControl();
    const gone: AbortSignal[] = [];
    control.onFreeze = (request) => {
      if (request.gone) gone.push(request.gone);
      return new Promise(() => undefined);
    };
    const to = await listen(control);
    await crowd(to, 2_000, ask('/v1/freeze'));
    expect((await raw(to, ask('/v1/thaw'))).status).toBe(200);
    // The first one must survive: it may be the freeze in progress.
    expect(gone.length).toBeGreaterThanOrEqual(2 * MOST);
    expect(gone[0]?.aborted).toBe(false);
    expect(gone.filter(({ aborted }) => !aborted).length).toBeLessThanOrEqual(2 * MOST);
  });

  it('never cuts off a thaw in progress', async () => {
    const control = new FakeControl();
    let finish: (() => void) | undefined;
    control.onThaw = () => new Promise((resolve) => (finish = () => resolve(aReceipt())));
    control.onFreeze = () => new Promise(() => undefined);
    const to = await listen(control);
    await crowd(to, MOST * 2, ask('/v1/freeze'));
    const thaw = raw(to, ask('/v1/thaw'));
    await expect.poll(() => control.thaws.length).toBe(1);
    await crowd(to, MOST, ask('/v1/freeze'));
    finish?.();
    expect((await thaw).status).toBe(200);
  });

  it('answers with the reason where a cut-off client has started a request, and silently closes others', async () => {
    const to = await listen(new FakeControl());
    const begun = raw(to, 'GET /v1/status HTTP/1.1\r\nHost: loc');
    const silent = raw(to, '');
    await sleep(100);
    await crowd(to, MOST + 10);
    expect(await begun).toMatchObject({
      status: 503,
      body: { error: { code: 'TOO_MANY_CONNECTIONS' } },
    });
    expect(await silent).toMatchObject({ status: 0, head: '' });
  });
});

describe.concurrent('ten seconds', () => {
  it('are the most that a request may take to arrive', async () => {
    const app = buildControlApp({
      control: new FakeControl(),
      transport: 'tcp',
      logger: createLogger({ level: 'silent' }),
    });
    await app.listen({ host: '127.0.0.1', port: 0 });
    const { port } = app.server.address() as AddressInfo;
    for (const answer of await Promise.all([
      raw({ port }, HELD_OPEN['half a header']),
      raw({ port }, HELD_OPEN['half a body']),
    ])) {
      expect(answer).toMatchObject({ status: 408, body: { error: { code: 'REQUEST_TIMEOUT' } } });
    }
    await app.close();
  });

  it('are the most that a client may leave an answer unread', async () => {
    const server = createListener(
      (_request, response) => void response.end(Buffer.alloc(64 * 1024 * 1024)),
      { connections: new Connections({ most: 10 }), keepAliveTimeout: 1_000 },
    );
    await once(server.listen(0, '127.0.0.1'), 'listening');
    const closed = new Promise((resolve) =>
      server.once('connection', (socket) => socket.once('close', resolve)),
    );
    const client = connect({ port: (server.address() as AddressInfo).port }).pause();
    client.on('error', () => undefined);
    client.write('GET / HTTP/1.1\r\nHost: localhost\r\n\r\n');
    const begun = performance.now();
    await closed;
    expect(performance.now() - begun).toBeGreaterThan(9_000);
    client.destroy();
    server.close();
  });
});
