import { rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { Client } from 'pg';
import { afterEach, describe, expect, it } from 'vitest';
import { EmbeddedPostgres, freePort } from '../../src/testbed/postgres/server.ts';
import { KEY, Mongod } from '../support/mongod.ts';
import { makeTempDir } from '../support/temp-dir.ts';
import { RedisServer } from '../support/redis.ts';
import {
  type Access,
  type App,
  type Comparison,
  type Edit,
  type Hold,
  mongodb,
  postgres,
  readLedger,
  redis,
} from './apps/index.ts';

const undo: (() => Promise<unknown>)[] = [];
afterEach(async () => {
  for (const step of undo.splice(0).toReversed()) await step();
});

/** Servers on loopback in place of pods. */
function accessTo(portOf: (pod: string) => number): Access {
  const address = (pod: string): string => `127.0.0.1:${portOf(pod)}`;
  return {
    namespace: 'here',
    reach: async (pod) => address(pod),
    forward: async (pod) => ({ port: portOf(pod), close: async () => undefined }),
    memberName: address,
  };
}

async function tempDir(): Promise<string> {
  const dir = await makeTempDir();
  undo.push(() => rm(dir, { recursive: true, force: true }));
  return dir;
}

interface Written {
  /** Compares again, as after a restore. */
  readonly compare: (as?: App) => Promise<Comparison>;
}

/** Writes before and after a moment that stands for the freeze. */
async function write(app: App, access: Access, dir: string): Promise<Written> {
  await app.initialise(access);
  const path = join(dir, 'ledger');
  const first = await app.startLoad(access, path, { clients: 3, thinkMs: 0 });
  await first.progress(60);
  await first.stop();
  // As a story that backs up the same database twice.
  const load = await app.startLoad(access, path, { clients: 3, thinkMs: 0 });
  await load.progress(60);
  const hold: Hold = { freezeCalledAt: new Date() };
  await load.progress(60);
  await load.stop();
  expect(load.trouble).toEqual([]);
  const ledger = await readLedger(path);
  expect(ledger.entries.length).toBe(load.total);
  return { compare: (other = app) => other.compare(access, ledger, hold) };
}

const WHOLE = { ok: true, missing: 0, gaps: 0, canLogIn: true, canWrite: true, problems: [] };

function expectWhole(found: Comparison): void {
  expect(found).toMatchObject(WHOLE);
  expect(found.acknowledgedBeforeFreeze).toBeGreaterThanOrEqual(120);
  expect(found.restored).toBe(found.acknowledged);
  expect(found.whileHeld.commits).toBeGreaterThanOrEqual(60);
  expect(found.whileHeld.maxMs).toBeGreaterThan(0);
}

const withSecret =
  (name: string, key: string, value: string): Edit =>
  (manifest) => {
    const secret = manifest.find('Secret', name);
    secret.stringData = { ...secret.stringData, [key]: value };
  };

describe('the comparison with the ledger', () => {
  it('finds what a PostgreSQL lost, tore or changed, and a login or a write that fails', async () => {
    const dir = await tempDir();
    const dataDir = join(dir, 'data');
    const server = await EmbeddedPostgres.at({
      major: 17,
      dataDir,
      port: await freePort(),
      socketDir: join(dir, 's'),
    });
    await server.initdb();
    await server.start();
    undo.push(() => server.stop('immediate'));
    const app = postgres(withSecret('db', 'password', 'postgres'));
    const { compare } = await write(
      app,
      accessTo(() => server.options.port),
      dir,
    );
    await server.kill();
    await server.start();
    expectWhole(await compare());

    const admin = new Client(server.superuser('shop'));
    await admin.connect();
    undo.push(() => admin.end());
    const sql = (text: string): Promise<unknown> => admin.query(text);
    await sql(`UPDATE bank.ledger_0 SET payload = 'x' WHERE client = 0 AND seq = 2`);
    const changed = await compare();
    expect(changed).toMatchObject({ ok: false, missing: 0, gaps: 0 });
    expect(changed.problems.join()).toMatch(/payloads differ: client 0 seq 2/);
    await sql(`DELETE FROM bank.ledger_0 WHERE client = 0 AND seq = 2`);
    expect(await compare()).toMatchObject({ ok: false, missing: 1, gaps: 1 });
    await sql(`DELETE FROM bank.ledger_0 WHERE client = 1 AND seq > 1`);
    const lost = await compare();
    expect(lost).toMatchObject({ ok: false, gaps: 1 });
    expect(lost.missing).toBeGreaterThan(1);
    await sql('ALTER DATABASE shop SET default_transaction_read_only = on');
    expect(await compare()).toMatchObject({ canLogIn: true, canWrite: false });
    await sql('ALTER ROLE shop NOLOGIN');
    const refused = await compare();
    expect(refused).toMatchObject({ ok: false, canLogIn: false, canWrite: false, restored: 0 });
    expect(refused.missing).toBe(refused.acknowledgedBeforeFreeze);
  });

  it('finds what a Redis lost, tore or changed, and a login that fails', async () => {
    const dir = await tempDir();
    const server = await RedisServer.start({
      binary: 'redis-server',
      dir,
      config: ['appendonly yes', 'requirepass change-me'],
      password: 'change-me',
    });
    undo.push(() => server.kill());
    const app = redis();
    const { compare } = await write(
      app,
      accessTo(() => server.port),
      dir,
    );
    await server.kill();
    await server.start();
    expectWhole(await compare());

    await server.admin.set('writer:0:2', '2:other');
    const changed = await compare();
    expect(changed).toMatchObject({ ok: false, missing: 0, gaps: 0 });
    expect(changed.problems).toEqual(['values differ: writer:0:2']);
    await server.admin.del('writer:0:2');
    expect(await compare()).toMatchObject({ ok: false, missing: 1, gaps: 1 });
    const keys = await server.admin.keys('writer:1:*');
    await server.admin.del(keys);
    const lost = await compare();
    expect(lost.missing).toBeGreaterThan(1);
    const refused = await compare(redis(withSecret('redis', 'REDIS_PASSWORD', 'other')));
    expect(refused).toMatchObject({ ok: false, canLogIn: false, restored: 0 });
    await server.admin.config('SET', 'min-replicas-to-write', '1');
    expect(await compare()).toMatchObject({ canLogIn: true, canWrite: false });
  });

  it('finds what a set of MongoDB lost, tore or changed', async () => {
    const dir = await tempDir();
    const keyFile = join(dir, 'key');
    await writeFile(keyFile, KEY, { mode: 0o600 });
    const app = mongodb();
    const members = new Map<string, Mongod>();
    for (const pod of app.pods) {
      const server = new Mongod({ dbPath: join(dir, pod), set: 'rs', keyFile });
      undo.push(() => server.stop());
      members.set(pod, server);
    }
    await Promise.all([...members.values()].map((server) => server.start()));
    const access = accessTo((pod) => members.get(pod)?.port ?? 0);
    const { compare } = await write(app, access, dir);
    await app.afterRestore(access);
    expectWhole(await compare());

    const login = { username: 'root', password: 'change-root' };
    const bank = [...members.values()][0]?.client({ auth: login }).db('bank');
    const ledger = (writer: number) => bank?.collection<{ _id: number }>(`ledger${writer}`);
    await ledger(0)?.updateOne({ _id: 2 }, { $set: { padding: 'other' } });
    const changed = await compare();
    expect(changed).toMatchObject({ ok: false, missing: 0, gaps: 0 });
    expect(changed.problems).toEqual(['documents differ: ledger0:2']);
    await ledger(0)?.deleteOne({ _id: 2 });
    expect(await compare()).toMatchObject({ ok: false, missing: 1, gaps: 1 });
    await ledger(1)?.deleteMany({});
    expect((await compare()).missing).toBeGreaterThan(1);
    const refused = await compare(mongodb(withSecret('mongo', 'app-password', 'other')));
    expect(refused).toMatchObject({ ok: false, canLogIn: false });
  });

  it('proves nothing if nothing was acknowledged before the freeze', async () => {
    const dir = await tempDir();
    const server = await RedisServer.start({ binary: 'redis-server', dir });
    undo.push(() => server.kill());
    const app = redis(withSecret('redis', 'REDIS_PASSWORD', ''));
    const ledger = { engine: 'redis', clients: 1, entries: [], trouble: [] } as const;
    const hold = { freezeCalledAt: new Date() };
    const found = await app.compare(
      accessTo(() => server.port),
      ledger,
      hold,
    );
    expect(found).toMatchObject({ ok: false, missing: 0, canWrite: true });
    expect(found.problems).toEqual(['nothing was acknowledged before the freeze']);
  });
});
