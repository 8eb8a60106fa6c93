import { mkdir, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import type { Document } from 'mongodb';
import { Client } from 'pg';
import { afterEach, describe, expect, it } from 'vitest';
import { mongoEnv, ROOT, startStandalone } from '../support/mongod.ts';
import { makeTempDir, startServer } from '../support/postgres.ts';
import { aclLine, redisFolder, RedisServer, sessionsOf, USER } from '../support/redis.ts';
import { TestSidecar } from '../support/sidecar.ts';

const CALLERS = 60;
const THAW_WITHIN_MS = 3_000;

const undo: (() => unknown)[] = [];
afterEach(async () => {
  for (const one of undo.splice(0).toReversed()) await one();
});

/** A server that accepts fewer connections than the sidecar has callers. */
interface Place {
  readonly env: Readonly<Record<string, string>>;
  /** Connects as an application, runs a query and disconnects; rejects if the server has no free connection. */
  application(): Promise<unknown>;
  /** Connections of the sidecar's user. */
  sessions(): Promise<number>;
}

async function postgres(): Promise<Place> {
  const settings = { max_connections: '12', superuser_reserved_connections: '2' };
  const { server, admin, roleEnv, dataDir, stop } = await startServerOn(settings);
  undo.push(stop);
  await admin.query(`CREATE ROLE app LOGIN PASSWORD 'app'`);
  return {
    env: { ...roleEnv, QUIESCE_ENGINE: 'postgres', QUIESCE_DATA_DIR: dataDir },
    application: async () => {
      const client = new Client({ ...server.superuser(), user: 'app', password: 'app' });
      client.on('error', () => undefined);
      await client.connect();
      try {
        await client.query('SELECT 1');
      } finally {
        await client.end();
      }
    },
    sessions: async () => {
      const { rows } = await admin.query<{ n: number }>(
        `SELECT count(*)::int AS n FROM pg_stat_activity WHERE usename = 'quiesce'`,
      );
      return rows[0]?.n ?? 0;
    },
  };
}

async function startServerOn(settings: Readonly<Record<string, string>>) {
  const running = await startServer({ major: 17, settings });
  const { server, admin, roleEnv, dataDir } = running;
  return { server, admin, roleEnv, dataDir, stop: () => running.stop() };
}

async function redis(binary: string): Promise<Place> {
  const { dir, remove } = await redisFolder();
  undo.push(remove);
  const config = ['appendonly yes', 'save ""', 'maxclients 12', await aclLine()];
  const server = await RedisServer.start({ binary, dir: join(dir, 'data'), config });
  undo.push(() => server.kill());
  return {
    env: { ...server.env(USER), QUIESCE_DATA_DIR: join(dir, 'data') },
    application: async () => {
      const client = server.connect();
      client.options.retryStrategy = () => null;
      await client.get('key').finally(() => client.disconnect());
    },
    sessions: () => sessionsOf(server),
  };
}

async function mongodb(): Promise<Place> {
  const dir = await makeTempDir();
  undo.push(() => rm(dir, { recursive: true, force: true }));
  const server = await startStandalone(join(dir, 'db'), ['--maxConns', '40']);
  undo.push(() => server.stop());
  return {
    env: mongoEnv(server, join(dir, 'db')),
    application: async () => {
      const client = server.client({ auth: ROOT, maxPoolSize: 1, serverSelectionTimeoutMS: 2_000 });
      try {
        await client.db('app').command({ ping: 1 });
      } finally {
        await client.close();
      }
    },
    sessions: async () => {
      const command = { currentOp: 1, $all: true, appName: { $regex: '^quiesce' } };
      return ((await server.admin(command))['inprog'] as Document[]).length;
    },
  };
}

async function sidecarFor(place: Place): Promise<TestSidecar> {
  const dir = await makeTempDir();
  undo.push(() => rm(dir, { recursive: true, force: true }));
  await mkdir(join(dir, 'q'));
  const sidecar = new TestSidecar(join(dir, 'q'), place.env);
  undo.push(() => sidecar.signal('SIGKILL'));
  return await sidecar.start();
}

describe.each([
  // One each for readiness, metadata and verification, and those of the freeze.
  ['PostgreSQL', postgres, 4],
  ['Redis', () => redis('redis-server'), 4],
  ['Valkey', () => redis('valkey-server'), 4],
  // The driver adds one for each, and two for the freeze, whose pool has up to six.
  ['MongoDB', mongodb, 14],
] as const)('%s', (_name, start, most) => {
  it(
    'has free connections however many callers the sidecar has, and a thaw among them is answered immediately',
    { timeout: 120_000 },
    async () => {
      const place = await start();
      const sidecar = await sidecarFor(place);
      await sidecar.api('POST', '/v1/freeze', { id: 'first' });
      const { body: receipt } = await sidecar.api('POST', '/v1/thaw', { id: 'first' });
      expect(receipt).toMatchObject({ verdict: 'consistent' });
      const held = await sidecar.api('POST', '/v1/freeze', { id: 'second' });
      expect(held.body).toMatchObject({ verdict: 'held' });

      const over = new AbortController();
      let peak = 0;
      const watching = (async () => {
        for (; !over.signal.aborted; await sleep(10)) peak = Math.max(peak, await place.sessions());
      })();
      const applications = (async () => {
        let served = 0;
        for (; !over.signal.aborted; served += 1) await place.application();
        return served;
      })();
      applications.catch(() => undefined);
      const calls = Array.from({ length: CALLERS }, (_one, n) => [
        sidecar.api('GET', '/v1/metadata'),
        sidecar.api('POST', '/v1/verify', { receipt, amcheck: n === 0 }),
      ]).flat();
      const answers = Promise.all(calls);
      await sleep(150);
      const began = performance.now();
      const thawed = await sidecar.api('POST', '/v1/thaw', { id: 'second' });
      expect(performance.now() - began).toBeLessThan(THAW_WITHIN_MS);
      expect(thawed.body).toMatchObject({ verdict: 'consistent' });
      const asked = performance.now();
      expect((await sidecar.status()).state).toBe('thawed');
      expect(performance.now() - asked).toBeLessThan(THAW_WITHIN_MS);
      const wrong = (await answers).filter(
        ({ status, body }) => status !== 200 && body.error?.code !== 'NOT_VERIFIED',
      );
      over.abort();
      expect(wrong).toEqual([]);
      expect(await applications).toBeGreaterThan(5);
      await watching;
      expect(peak).toBeGreaterThan(0);
      expect(peak).toBeLessThanOrEqual(most);
    },
  );
});
