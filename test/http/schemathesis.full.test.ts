import { mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, beforeAll, expect, it } from 'vitest';
import document from '../../docs/openapi.json' with { type: 'json' };
import { requireInstalled } from '../support/packages.ts';
import { redisFolder, RedisServer } from '../support/redis.ts';
import { schemathesis } from '../support/schemathesis.ts';
import { TestSidecar } from '../support/sidecar.ts';

/**
 * Well-formed requests can still be refused for their content: two fields that exclude each other, or a
 * receipt of another engine than Redis. The API must accept everything else that the document allows.
 */
const CONFIG = `
[[operations]]
include-path = ["/v1/freeze", "/v1/thaw", "/v1/verify"]
[operations.checks.positive_data_acceptance]
expected-statuses = ["2xx", 409, 422, "5xx"]
`;

let dir: string;
let sidecar: TestSidecar;
const undo: (() => unknown)[] = [];

beforeAll(async () => {
  requireInstalled({ 'redis-server': 'redis-server' });
  const folder = await redisFolder();
  dir = folder.dir;
  undo.push(folder.remove);
  const data = join(dir, 'data');
  const server = await RedisServer.start({
    binary: 'redis-server',
    dir: data,
    config: ['appendonly yes', 'save ""'],
  });
  undo.push(() => server.kill());
  const own = join(dir, 'q');
  await mkdir(own);
  sidecar = new TestSidecar(own, {
    QUIESCE_ENGINE: 'redis',
    QUIESCE_DATA_DIR: data,
    QUIESCE_LOG_LEVEL: 'error',
    REDIS_HOST: '127.0.0.1',
    REDIS_PORT: String(server.port),
  });
  undo.push(() => sidecar.signal('SIGKILL'));
  await sidecar.start();
});
afterAll(async () => {
  for (const one of undo.toReversed()) await one();
});

it('the API does what its OpenAPI document says for any request', async () => {
  const end = new AbortController();
  // Some requests freeze the database with a long lease: a regular thaw ends those freezes.
  const thaws = (async () => {
    for (; !end.signal.aborted; await sleep(200)) await sidecar.api('POST', '/v1/thaw');
  })();
  const url = `http://127.0.0.1:${sidecar.controlPort}/openapi.json`;
  const bounds = ['--max-examples', '15', '--seed', '7', '--generation-database', 'none'];
  const args = [url, '--checks', 'all', ...bounds, '--continue-on-failure', '--no-color'];
  const { code, output } = await schemathesis(args, CONFIG, dir).finally(() => end.abort());
  await thaws;
  expect(code, output).toBe(0);
  expect(Number(/(\d+) generated/.exec(output)?.[1])).toBeGreaterThan(300);
  const operations = Object.values(document.paths).flatMap((path) => Object.keys(path)).length;
  expect(output).toContain(`Tested: ${operations}`);
  // The same process still runs, and still freezes.
  await sidecar.api('POST', '/v1/thaw');
  expect((await sidecar.api('POST', '/v1/freeze', { id: 'after' })).status).toBe(200);
  expect((await sidecar.api('POST', '/v1/thaw', { id: 'after' })).status).toBe(200);
}, 120_000);
