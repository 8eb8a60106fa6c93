import { mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { startServer, type TestServer } from '../support/postgres.ts';
import { TestSidecar } from '../support/sidecar.ts';

const CLIENTS = 100;
let server: TestServer;
let sidecar: TestSidecar;

beforeAll(async () => {
  server = await startServer({ major: 17 });
  const dir = join(server.dir, 'q');
  await mkdir(dir);
  const env = { ...server.roleEnv, QUIESCE_DATA_DIR: server.dataDir, QUIESCE_LOG_LEVEL: 'error' };
  sidecar = await new TestSidecar(dir, env).start();
});
afterAll(async () => {
  await sidecar?.signal('SIGKILL');
  await server?.stop();
});

/** Connections of the sidecar's role to the server. */
async function sessions(): Promise<number> {
  const found = await server.admin.query<{ count: number }>(
    'SELECT count(*)::int AS count FROM pg_stat_activity WHERE usename = $1',
    [server.roleEnv['PGUSER']],
  );
  return found.rows[0]?.count ?? 0;
}

it('a hundred clients that query the database do not disturb a freeze and its thaw', async () => {
  const held = await sidecar.api('POST', '/v1/freeze');
  await sidecar.api('POST', '/v1/thaw');
  const queries = [
    ['GET', '/v1/metadata', undefined],
    ['POST', '/v1/verify', { receipt: held.body as unknown }],
  ] as const;
  const end = new AbortController();
  let answers = 0;
  let most = 0;
  const clients = Array.from({ length: CLIENTS }, async (_, at) => {
    const [method, path, body] = queries[at % 2] ?? queries[0];
    while (!end.signal.aborted) {
      const { status } = await sidecar.api(method, path, body, at % 4 < 2 ? 'tcp' : 'socket');
      expect(status).toBe(200);
      answers += 1;
    }
  });
  const watching = (async () => {
    for (; !end.signal.aborted; await sleep(20)) most = Math.max(most, await sessions());
  })();
  const times: number[] = [];
  for (let round = 0; round < 6; round += 1) {
    const id = `r${round}`;
    expect((await sidecar.api('POST', '/v1/freeze', { id })).status).toBe(200);
    const begun = performance.now();
    const thaw = await sidecar.api('POST', '/v1/thaw', { id }, round % 2 ? 'tcp' : 'socket');
    times.push(performance.now() - begun);
    expect(thaw).toMatchObject({ status: 200, body: { verdict: 'consistent' } });
  }
  end.abort();
  await Promise.all([...clients, watching]);
  expect(answers).toBeGreaterThanOrEqual(CLIENTS);
  // Two readers of each kind with up to two sessions each, plus the sessions of the sidecar itself.
  expect(most).toBeLessThan(15);
  // About 40 ms on an idle machine; over a second if there were as many sessions as clients.
  const [, , median = Number.POSITIVE_INFINITY] = times.toSorted((a, b) => a - b);
  expect(median).toBeLessThan(1_000);
});
