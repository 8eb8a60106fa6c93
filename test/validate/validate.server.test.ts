import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { setTimeout as sleep } from 'node:timers/promises';
import { describe, expect, it } from 'vitest';
import { cleanEnv, cliPath } from '../../src/testbed/processes.ts';
import { type Shop, start } from '../snapshot/shop.ts';
import {
  annotate,
  breakPod,
  listening,
  logs,
  POD,
  portOf,
  problemCodes,
  serviceOf,
  settle,
  validated,
  wholeShop,
} from './rig.ts';

describe('an application that is whole', () => {
  it('is proven, with what each member says, and nothing is changed', async () => {
    const shop = await wholeShop();
    const { code, run } = await validated(shop);
    expect(run).toMatchObject({
      kind: 'ValidationRun',
      apiVersion: 'quiesce.dev/v1',
      group: 'shop',
      verdict: 'proven',
      problems: [],
    });
    expect(run.members.map(({ kind, name, ready }) => [kind, name, ready])).toEqual([
      ['StatefulSet', 'cache', true],
      ['StatefulSet', 'db', true],
    ]);
    expect(code).toBe(0);
    const changes = shop.api.cluster.calls.filter((call) => !call.startsWith('GET '));
    expect(changes).toEqual([]);
    expect([shop.db.engine.held, shop.cache.engine.held]).toEqual([0, 0]);
  });

  it('is not proven while a sidecar does not answer', async () => {
    const shop = await wholeShop();
    shop.api.forbidden.add('portforward').add('exec');
    const { code, run } = await validated(shop);
    expect([code, run.verdict]).toEqual([7, 'unproven']);
    expect(run.problems.every(({ code: one }) => one === 'FORBIDDEN')).toBe(true);
  });

  it('is not proven where data has no sidecar', async () => {
    const shop = await wholeShop();
    shop.api.member('files', { port: 1 }, { engine: 'mysql', sidecar: false });
    settle(shop.api, 'files');
    const { code, run } = await validated(shop);
    expect([code, problemCodes(run)]).toEqual([7, ['warning DATA_NOT_JUDGED']]);
  });
});

/** As a terminal without colours shows it. */
async function shown({ api }: Shop): Promise<string> {
  const words = ['validate', '-n', 'shop', '--kubeconfig', api.kubeconfig];
  const child = spawn(process.execPath, [cliPath(), ...words], { env: cleanEnv({}) });
  let screen = '';
  child.stdout.on('data', (data: Buffer) => (screen += data.toString()));
  await once(child, 'close');
  return screen;
}

describe('an application that is broken', () => {
  it('names the last words and the likely cause, on one screen, without the password', async () => {
    const shop = await wholeShop();
    const crash = {
      state: { waiting: { reason: 'CrashLoopBackOff' } },
      lastState: { terminated: { exitCode: 1 } },
      restartCount: 2,
    };
    breakPod(shop.api, 'db', crash);
    logs(
      shop.api,
      'starting\nconnecting to postgres://app:hunter2@db:5432/shop\nFATAL:  password authentication failed for user "app"\n',
    );
    const { code, run } = await validated(shop);
    expect([code, run.verdict]).toEqual([5, 'failed']);
    const [first] = run.problems;
    expect(first).toMatchObject({
      code: 'LOGIN_REFUSED',
      severity: 'error',
      object: 'shop Pod/db-0',
    });
    expect(first?.message).toMatch(/FATAL:\s+password authentication failed/);
    expect(JSON.stringify(run)).not.toContain('hunter2');
    const screen = await shown(shop);
    expect(screen).toMatch(/^✘ failed {2}shop is not whole\./);
    expect(screen).toMatch(/\| FATAL:\s+password authentication failed for user "app"/);
    expect(screen.split('\n').every((line) => line.length <= 120)).toBe(true);
  });

  it('names a container that crashes again and again, though it is ready now', async () => {
    const shop = await wholeShop();
    const restarted = (count: number, minutes: number) =>
      shop.api.cluster.change(POD('db-0'), {
        status: {
          containerStatuses: [
            {
              name: 'db',
              ready: true,
              restartCount: count,
              state: { running: {} },
              lastState: {
                terminated: {
                  exitCode: 3,
                  finishedAt: new Date(Date.now() - minutes * 60_000).toISOString(),
                },
              },
            },
            { name: 'quiesce', ready: true, restartCount: 0, state: { running: {} } },
          ],
        },
      });
    restarted(4, 2);
    const looping = await validated(shop);
    expect([looping.code, problemCodes(looping.run)]).toEqual([5, ['error RESTARTED']]);
    restarted(4, 30);
    expect((await validated(shop)).code).toBe(0);
    expect((await validated(shop, ['--restarts-within', '1h'])).code).toBe(5);
    restarted(1, 2);
    const once = await validated(shop);
    expect([once.code, problemCodes(once.run)]).toEqual([0, ['info RESTARTED']]);
  });

  it('is an error that names the right where it may not be read', async () => {
    const shop = await wholeShop();
    shop.api.cluster.intercept = (method, path) =>
      method === 'GET' && path.includes('/shop/endpointslices')
        ? {
            status: 403,
            body: { message: 'endpointslices is forbidden: User "dev" cannot list resource' },
          }
        : undefined;
    const { code, run } = await validated(shop);
    expect(code).toBe(3);
    expect(JSON.stringify(run)).toContain('resources: [endpointslices]');
  });
});

describe('the links', () => {
  it('are tried from the network of a sidecar', async () => {
    const shop = await wholeShop();
    const { port, server } = await listening();
    portOf(shop.api, 'db', port);
    annotate(shop.api, 'cache', { 'quiesce.dev/depends-on': 'db' });
    const good = await validated(shop);
    expect(good.run.links).toMatchObject([
      {
        from: { name: 'cache' },
        to: 'db',
        target: `127.0.0.1:${port}`,
        pod: 'cache-0',
        how: 'tcp',
        ok: true,
      },
    ]);
    expect(good.code).toBe(0);
    await new Promise((resolve) => server.close(resolve));
    const bad = await validated(shop);
    expect(bad.code).toBe(5);
    expect(bad.run.problems).toMatchObject([
      { code: 'LINK_BROKEN', severity: 'error', object: 'shop StatefulSet/cache' },
    ]);
    expect(bad.run.problems[0]?.message).toContain('nothing listens there');
  });

  it('to a name that does not resolve are broken', async () => {
    const shop = await wholeShop();
    serviceOf(shop.api, 'db', true);
    annotate(shop.api, 'cache', { 'quiesce.dev/depends-on': 'svc/db' });
    const { code, run } = await validated(shop);
    expect(code).toBe(5);
    expect(run.links).toMatchObject([{ target: 'db.shop.svc:5432', how: 'tcp', ok: false }]);
  });

  it('of a pod without a sidecar are judged by endpoints, and it says so', async () => {
    const shop = await wholeShop();
    serviceOf(shop.api, 'db', true);
    shop.api.member(
      'web',
      { port: 1 },
      {
        engine: 'nginx',
        sidecar: false,
        annotations: { 'quiesce.dev/depends-on': 'db', 'quiesce.dev/freeze': 'none' },
      },
    );
    settle(shop.api, 'web');
    const { run } = await validated(shop);
    expect(run.links).toMatchObject([{ how: 'endpoints', ok: true }]);
    expect(run.links[0]?.message).toContain('not tried: none of its pods has a sidecar');
    serviceOf(shop.api, 'db', false);
    const broken = await validated(shop);
    expect(broken.run.links).toMatchObject([{ how: 'endpoints', ok: false }]);
    expect(broken.code).toBe(5);
  });

  it('to what has no port are said to be not checked', async () => {
    const shop = await wholeShop();
    annotate(shop.api, 'cache', { 'quiesce.dev/depends-on': 'db' });
    const { code, run } = await validated(shop);
    expect([code, problemCodes(run)]).toEqual([7, ['warning LINK_NOT_CHECKED']]);
  });
});

describe('checks of the user', () => {
  it('over HTTP must answer with success', async () => {
    const shop = await wholeShop();
    annotate(shop.api, 'db', { 'quiesce.dev/verify-http': '8080/v1/status' });
    const good = await validated(shop);
    expect(good.run.checks).toMatchObject([
      { kind: 'http', pod: 'db-0', ok: true, message: 'GET /v1/status on port 8080 answers 200' },
    ]);
    annotate(shop.api, 'db', { 'quiesce.dev/verify-http': ':8080/no/such/path' });
    const bad = await validated(shop);
    expect([bad.code, problemCodes(bad.run)]).toEqual([5, ['error CHECK_FAILED']]);
    annotate(shop.api, 'db', { 'quiesce.dev/verify-http': 'https://127.0.0.1/x' });
    const unable = await validated(shop);
    expect([unable.code, problemCodes(unable.run)]).toEqual([7, ['warning CHECK_NOT_MADE']]);
  });

  it('in SQL that cannot be made are never passed over', async () => {
    const shop = await wholeShop();
    annotate(shop.api, 'db', { 'quiesce.dev/verify-sql': 'select 1' });
    const { code, run } = await validated(shop);
    expect([code, problemCodes(run)]).toEqual([7, ['warning CHECK_NOT_MADE']]);
  });
});

describe('--wait', () => {
  it('looks again until the application is whole', async () => {
    const shop = await wholeShop();
    breakPod(shop.api, 'db', { started: true, state: { running: {} } });
    const { ended } = start(shop.api, ['--wait', '--timeout', '60s'], 'validate');
    await sleep(3_000);
    settle(shop.api, 'db');
    expect((await ended).code).toBe(0);
  });

  it('ends with what is broken when the time is up, and early where waiting is in vain', async () => {
    const shop = await wholeShop();
    breakPod(shop.api, 'db', { started: true, state: { running: {} } });
    const late = await validated(shop, ['--wait', '--timeout', '6s']);
    expect([late.code, late.run.verdict]).toEqual([5, 'failed']);
    breakPod(shop.api, 'db', { state: { waiting: { reason: 'InvalidImageName', message: 'x' } } });
    const begun = performance.now();
    expect((await validated(shop, ['--wait', '--timeout', '60s'])).code).toBe(5);
    expect(performance.now() - begun).toBeLessThan(30_000);
  });
});
