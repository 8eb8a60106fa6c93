import { mkdir, rm } from 'node:fs/promises';
import { type AddressInfo, connect, createServer, type Socket } from 'node:net';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import type { MongoClient } from 'mongodb';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import type { FreezeContext } from '../../../src/engines/engine.ts';
import { createEngine } from '../../../src/engines/mongodb/index.ts';
import {
  createRole,
  type Mongod,
  mongoEnv,
  ROLE,
  ROOT,
  startStandalone,
  until,
} from '../../support/mongod.ts';
import { makeTempDir } from '../../support/postgres.ts';
import { TestSidecar } from '../../support/sidecar.ts';

let dir: string;
let server: Mongod;
let root: MongoClient;
let sidecar: TestSidecar;
let count = 0;

const LOCK = { fsync: 1, lock: true };
const UNLOCK = { fsyncUnlock: 1 };

beforeAll(async () => {
  dir = await makeTempDir();
  server = await startStandalone(join(dir, 'data'));
  root = server.client({ auth: ROOT });
  await root
    .db('app')
    .collection('things')
    .insertMany([{ n: 1 }, { n: 2 }]);
});

afterAll(async () => {
  await server.stop();
  await rm(dir, { recursive: true, force: true });
});

beforeEach(async () => {
  count += 1;
  const own = join(dir, `q${count}`);
  await mkdir(own);
  sidecar = new TestSidecar(own, mongoEnv(server, server.dbPath));
  await sidecar.start();
});

afterEach(async () => {
  await sidecar.signal('SIGKILL');
  while (await server.locked()) await server.admin(UNLOCK);
});

async function writes(): Promise<'done' | 'blocked'> {
  const options = { maxTimeMS: 400 };
  const inserted = root.db('app').command({ insert: 'writes', documents: [{ at: 1 }], ...options });
  return await inserted.then(
    () => 'done' as const,
    () => 'blocked' as const,
  );
}

/** Without a set there are no transactions: a large, slow write holds up the lock as well. */
function slowWrite(ms: number): Promise<unknown> {
  const slow = `function () { sleep(${ms}); return true; }`;
  return root
    .db('app')
    .collection('things')
    .updateOne({ $where: slow }, { $set: { slow: 1 } });
}

describe('a freeze', () => {
  test('blocks writers, reports server and position, and releases writers at the thaw', async () => {
    const frozen = await sidecar.api('POST', '/v1/freeze', { id: 'one' });
    expect(frozen.status).toBe(200);
    expect(frozen.body).toMatchObject({
      engine: {
        name: 'mongodb',
        role: 'standalone',
        version: expect.stringMatching(/^\d+\.\d+\.\d+/),
      },
      mode: 'locked',
      writesBlocked: true,
      evidence: { onVolume: true },
      position: { opTime: null, pid: server.pid, lockCount: 1, lockOpId: expect.any(Number) },
      restore: {
        dataDirectory: '',
        storageEngine: 'wiredTiger',
        set: null,
        documents: { app: expect.any(Number) },
      },
      reasons: [],
      verdict: 'held',
    });
    expect(await writes()).toBe('blocked');
    const thawed = await sidecar.api('POST', '/v1/thaw', { id: 'one' });
    expect(thawed.body).toMatchObject({ verdict: 'consistent' });
    expect(await server.locked()).toBe(false);
    expect(await writes()).toBe('done');
  });

  test('has a lease of one minute, because writers wait', async () => {
    const { body } = await sidecar.api('POST', '/v1/freeze');
    const lease = Date.parse(body.expiresAt) - Date.parse(body.frozenAt);
    expect(lease).toBe(60_000);
    await sidecar.api('POST', '/v1/thaw');
  });

  test('is refused while another client holds the lock, which is left unchanged', async () => {
    await server.admin(LOCK);
    const frozen = await sidecar.api('POST', '/v1/freeze');
    expect(frozen).toMatchObject({ status: 502, body: { error: { code: 'ENGINE_LOCKED' } } });
    expect(await server.admin(UNLOCK)).toMatchObject({ ok: 1 });
    expect(await server.locked()).toBe(false);
  });

  test('is reported as impossible in the status while another client holds the lock', async () => {
    await server.admin(LOCK);
    await until(
      async () => (await sidecar.status()).engine.message?.startsWith('ENGINE_LOCKED') === true,
      15_000,
    );
  });

  test('releases only its own lock: one taken on top of it stays', async () => {
    await sidecar.api('POST', '/v1/freeze', { id: 'own' });
    await server.admin(LOCK);
    const thawed = await sidecar.api('POST', '/v1/thaw', { id: 'own' });
    expect(thawed.body).toMatchObject({
      verdict: 'consistent',
      position: { locksOfOthersLeft: 1 },
    });
    expect(await server.locked()).toBe(true);
    expect(Number((await server.admin(UNLOCK))['lockCount'])).toBe(0);
  });

  test('is lost when another client unlocks the server, and the thaw says so', async () => {
    await sidecar.api('POST', '/v1/freeze', { id: 'robbed' });
    await server.admin(UNLOCK);
    await until(async () => (await sidecar.status()).state === 'thawed', 20_000);
    const thawed = await sidecar.api('POST', '/v1/thaw', { id: 'robbed' });
    expect(thawed).toMatchObject({ status: 409, body: { error: { code: 'NOT_CONSISTENT' } } });
    expect(thawed.body.receipt.reasons).toContain('lock-gone');
  });

  test('detects a lock that replaced its own, and leaves that one alone', async () => {
    await sidecar.api('POST', '/v1/freeze', { id: 'swapped' });
    await sidecar.signal('SIGSTOP');
    await server.admin(UNLOCK);
    expect(await writes()).toBe('done');
    await server.admin(LOCK);
    await sidecar.signal('SIGCONT');
    const thawed = await sidecar.api('POST', '/v1/thaw', { id: 'swapped' });
    expect(thawed).toMatchObject({ status: 409, body: { error: { code: 'NOT_CONSISTENT' } } });
    expect(thawed.body.receipt.reasons).toContain('lock-replaced');
    expect(await server.locked()).toBe(true);
  });

  test('outlives the connections of the sidecar', async () => {
    const sockets = new Set<Socket>();
    const relay = createServer((client) => {
      const onward = connect(server.port, '127.0.0.1');
      for (const socket of [client, onward]) {
        sockets.add(socket);
        socket.on('error', () => socket.destroy());
      }
      client.pipe(onward).pipe(client);
    });
    await new Promise<void>((resolve) => {
      relay.listen(0, '127.0.0.1', resolve);
    });
    try {
      const { port } = relay.address() as AddressInfo;
      await sidecar.stop();
      const uri = sidecar.env['MONGODB_URI'] ?? '';
      sidecar.env['MONGODB_URI'] = uri.replace(`:${server.port}/`, `:${port}/`);
      await sidecar.start();
      expect((await sidecar.api('POST', '/v1/freeze', { id: 'cut' })).status).toBe(200);
      for (const socket of sockets) socket.destroy();
      const thawed = await sidecar.api('POST', '/v1/thaw', { id: 'cut' });
      expect(thawed.body, JSON.stringify(thawed.body)).toMatchObject({ verdict: 'consistent' });
      expect(await server.locked()).toBe(false);
    } finally {
      relay.close();
      for (const socket of sockets) socket.destroy();
    }
  });
});

describe('a lock that is granted too late', () => {
  test('is undone as soon as it is granted, and only then does the freeze end', async () => {
    const slow = slowWrite(3_000);
    await sleep(300);
    const frozen = await sidecar.api('POST', '/v1/freeze', { id: 'late', timeout: '1s' });
    expect(frozen).toMatchObject({ status: 504, body: { error: { code: 'FREEZE_TIMEOUT' } } });
    await slow;
    await until(async () => (await sidecar.status()).state === 'thawed', 20_000);
    expect(await server.locked()).toBe(false);
    expect(await writes()).toBe('done');
  });

  test('is undone by the server itself when the sidecar is killed meanwhile', async () => {
    const slow = slowWrite(4_000);
    await sleep(300);
    const frozen = await sidecar.api('POST', '/v1/freeze', { id: 'late', timeout: '1s' });
    expect(frozen.status).toBe(504);
    await sidecar.signal('SIGKILL');
    await slow;
    await until(async () => !(await server.locked()), 10_000);
    expect(await writes()).toBe('done');
  });
});

describe('a sidecar that is killed while it holds the lock', () => {
  test.each([
    ['a user with hostManager', { username: 'oncall', password: 'at 3 a.m.' }],
    ['its own user', ROLE],
  ])('and never restarts leaves a lock that can be released by hand, by %s', async (_who, auth) => {
    if (auth !== ROLE) {
      const { username, password: pwd } = auth;
      await server.admin({ dropUser: username }).catch(() => undefined);
      await server.admin({ createUser: username, pwd, roles: ['hostManager'] });
    }
    await sidecar.api('POST', '/v1/freeze', { id: 'orphan' });
    await sidecar.signal('SIGKILL');
    const client = server.client({ auth, authSource: 'admin' });
    expect(await client.db('admin').command(UNLOCK)).toMatchObject({ ok: 1, lockCount: 0 });
    expect(await writes()).toBe('done');
    await sidecar.start('live');
    const thawed = await sidecar.api('POST', '/v1/thaw', { id: 'orphan' });
    expect(thawed.body.receipt.reasons).toContain('interrupted');
    expect(await writes()).toBe('done');
  });

  test('does not release a lock that another client has taken since', async () => {
    await sidecar.api('POST', '/v1/freeze', { id: 'orphan' });
    await sidecar.signal('SIGKILL');
    await server.admin(UNLOCK);
    await server.admin(LOCK);
    await sidecar.start('live');
    await until(async () => (await sidecar.status()).state === 'thawed', 20_000);
    expect(await server.locked()).toBe(true);
  });

  test('releases exactly one lock when others are on top', async () => {
    await sidecar.api('POST', '/v1/freeze', { id: 'orphan' });
    await server.admin(LOCK);
    await sidecar.signal('SIGKILL');
    await sidecar.start('live');
    await until(async () => (await sidecar.status()).state === 'thawed', 20_000);
    expect(Number((await server.admin(UNLOCK))['lockCount'])).toBe(0);
  });
});

test('a server that was restarted between the preparation and the lock is not held and not locked', async () => {
  const { MONGODB_URI } = mongoEnv(server);
  const engine = createEngine({ settings: { MONGODB_URI }, dataDir: undefined });
  const context: FreezeContext = {
    id: 'anew',
    copy: 'snapshot',
    ttlMs: 60_000,
    progress: () => undefined,
    keep: () => Promise.resolve(),
    remember: () => Promise.resolve(),
  };
  const signal = AbortSignal.timeout(30_000);
  try {
    await engine.prepare(context, signal);
    await server.signal('SIGKILL');
    await server.start();
    await sleep(500);
    await expect(engine.hold(context, signal)).rejects.toThrow(/changed|connection|Cannot/);
    expect(await server.locked()).toBe(false);
  } finally {
    await engine.close();
  }
});

test('a stalled server is released once it resumes', async () => {
  await sidecar.api('POST', '/v1/freeze', { id: 'stalled', ttl: '2s' });
  await server.signal('SIGSTOP');
  await sleep(3_000);
  expect((await sidecar.status()).state).toBe('thawing');
  await server.signal('SIGCONT');
  await until(async () => (await sidecar.status()).state === 'thawed', 15_000);
  expect(await server.locked()).toBe(false);
});

test('data of another server is refused, and nothing stays locked', async () => {
  const other = await startStandalone(join(dir, `other${count}`));
  try {
    const own = join(dir, `q-other${count}`);
    await mkdir(own);
    const wrong = new TestSidecar(own, mongoEnv(server, other.dbPath));
    await wrong.start();
    const frozen = await wrong.api('POST', '/v1/freeze');
    await wrong.stop();
    expect(frozen).toMatchObject({
      status: 502,
      body: { error: { code: 'ENGINE_DATA_MISMATCH' } },
    });
    expect(await server.locked()).toBe(false);
  } finally {
    await other.stop();
  }
});

describe('metadata', () => {
  async function metadata(): Promise<Record<string, unknown>> {
    const { body, status } = await sidecar.api('GET', '/v1/metadata');
    expect(status, JSON.stringify(body)).toBe(200);
    expect(JSON.stringify(body)).not.toMatch(/storedKey|serverKey|salt/i);
    return body as Record<string, unknown>;
  }

  test('shows roles and settings, and says which right is missing to list users', async () => {
    expect(await metadata()).toMatchObject({
      role: 'standalone',
      storageEngine: 'wiredTiger',
      featureCompatibilityVersion: expect.stringMatching(/^\d\.\d$/),
      databases: expect.arrayContaining([{ name: 'app', sizeOnDisk: expect.any(Number) }]),
      users: null,
      roles: expect.arrayContaining([expect.objectContaining({ role: 'quiesce' })]),
      parameters: expect.objectContaining({ storage: expect.anything() }),
      replication: null,
      notAllowed: ['viewUser'],
      notes: [expect.stringMatching(/^The users are not listed: .*roles\/mongodb-users\.json/)],
    });
  });

  test('shows users without credentials if the role that could read them is granted', async () => {
    const role = await createRole(root, 'mongodb-users');
    await server.admin({ grantRolesToUser: ROLE.username, roles: [role] });
    try {
      expect(await metadata()).toMatchObject({
        users: expect.arrayContaining([
          { user: 'root', db: 'admin', roles: ['root@admin'], mechanisms: expect.anything() },
        ]),
        notAllowed: [],
        notes: [],
      });
      const client = server.client({ auth: ROLE, authSource: 'admin' });
      const shown = await client.db('admin').command({ usersInfo: 1, showCredentials: true });
      expect(JSON.stringify(shown)).toContain('storedKey');
    } finally {
      await server.admin({ dropRole: role });
    }
  });

  test('lists the databases whose users it may not list', async () => {
    const privileges = [{ resource: { db: 'admin', collection: '' }, actions: ['viewUser'] }];
    await server.admin({ createRole: 'someUsers', privileges, roles: [] });
    await server.admin({ grantRolesToUser: ROLE.username, roles: ['someUsers'] });
    try {
      expect(await metadata()).toMatchObject({
        users: expect.arrayContaining([expect.objectContaining({ user: 'quiesce' })]),
        notAllowed: ['viewUser'],
        notes: [expect.stringMatching(/^The users of app, .*\$external are not listed/)],
      });
    } finally {
      await server.admin({ dropRole: 'someUsers' });
    }
  });
});

describe('secrets', () => {
  test('are never printed when the server refuses them', async () => {
    await sidecar.stop();
    const secret = 'wr0ng/sec:ret';
    sidecar.env['MONGODB_URI'] =
      `mongodb://quiesce:${encodeURIComponent(secret)}@${server.address}/?authSource=admin`;
    await sidecar.start('live');
    const frozen = await sidecar.api('POST', '/v1/freeze');
    expect(frozen).toMatchObject({ status: 502, body: { error: { code: 'ENGINE_AUTH' } } });
    const all =
      sidecar.output + JSON.stringify(frozen.body) + JSON.stringify(await sidecar.status());
    expect(all).not.toContain(secret);
    expect(all).not.toContain(encodeURIComponent(secret));
  });
});

test('a lock requested by a dead sidecar and granted after the next one looked is released', async () => {
  const { MONGODB_URI } = mongoEnv(server);
  const engine = createEngine({ settings: { MONGODB_URI }, dataDir: undefined });
  const { topologyVersion } = await server.ask({ hello: 1 });
  const runId = String((topologyVersion as { processId: unknown }).processId);
  const appName = 'quiesce of a test';
  const dead = server.client({ auth: ROOT, appName });
  await dead.db('admin').command({ ping: 1 });
  const connected = { currentOp: 1, $all: true, appName };
  expect((await server.admin(connected))['inprog']).not.toEqual([]);
  const journal = { step: 'asking', runId, client: appName };
  // The recovery looks first, then the lock is granted: the client stays connected until then.
  let recovered = false;
  const recovering = engine.recover(journal, AbortSignal.timeout(30_000)).then(() => {
    recovered = true;
  });
  await sleep(1_000);
  expect(recovered).toBe(false);
  await dead.db('admin').command(LOCK);
  await dead.close();
  await recovering;
  expect(await server.locked()).toBe(false);
  await engine.close();
});
