import { execFile } from 'node:child_process';
import { mkdir, readFile, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { runCli } from '../../../src/testbed/processes.ts';
import { REPLAY_OPTIONS } from '../../../src/engines/mongodb/restore/next-steps.ts';
import type { Receipt } from '../../../src/receipt/receipt.ts';
import { type Acked, missing, MongoLoad } from '../../support/mongo-load.ts';
import {
  createRole,
  createUser,
  Mongod,
  MongoSet,
  mongoEnv,
  ROLE,
  ROOT,
  until,
} from '../../support/mongod.ts';
import { makeTempDir } from '../../support/postgres.ts';
import { TestSidecar } from '../../support/sidecar.ts';

const run = promisify(execFile);

let dir: string;
let set: MongoSet;
let acked: Acked;
let receipt: Receipt;
let keyFile: string;
/** The copy from the backup; each test works on a copy of it. */
let pristine: string;
const servers: Mongod[] = [];
let count = 0;

beforeAll(async () => {
  dir = await makeTempDir();
  keyFile = join(dir, 'key');
  const volume = join(dir, 'volume');
  set = await MongoSet.start(dir, { dbPaths: [join(volume, 'db')] });
  const client = set.client();
  const load = new MongoLoad(client, 4).start();
  await load.progress(100);
  const own = join(dir, 'q');
  await mkdir(own);
  const sidecar = await new TestSidecar(own, {
    ...mongoEnv(set.first, volume),
    QUIESCE_COPY: 'files',
  }).start();
  const frozen = await sidecar.api('POST', '/v1/freeze', { id: 'backup' });
  expect(frozen.status, JSON.stringify(frozen.body)).toBe(200);
  acked = load.acked();
  pristine = join(dir, 'pristine');
  await run('cp', ['-a', volume, pristine]);
  const thawed = await sidecar.api('POST', '/v1/thaw', { id: 'backup' });
  receipt = thawed.body as Receipt;
  await load.stop();
  await sidecar.stop();
  await client.close();
  await set.stop();
});

afterAll(async () => {
  for (const server of servers) await server.stop();
  await rm(dir, { recursive: true, force: true });
});

async function copy(): Promise<string> {
  count += 1;
  const path = join(dir, `copy${count}`);
  await run('cp', ['-a', pristine, path]);
  return path;
}

function prepare(data: string, ...flags: string[]) {
  return runCli(['prepare-restore', '--data', data, ...flags], {});
}

function serverOn(data: string, setName?: string): Mongod {
  const dbPath = join(data, 'db');
  const server = new Mongod({
    dbPath,
    ...(setName === undefined ? {} : { set: setName, keyFile }),
  });
  servers.push(server);
  return server;
}

async function sidecarBeside(server: Mongod, data: string): Promise<TestSidecar> {
  count += 1;
  const own = join(dir, `q${count}`);
  await mkdir(own);
  return await new TestSidecar(own, mongoEnv(server, data)).start();
}

describe('prepare-restore', () => {
  test('proves a complete copy, changes nothing in it, and prints the remaining steps', async () => {
    const data = await copy();
    const done = await prepare(data, '-o', 'json');
    expect(done.code, done.stderr).toBe(0);
    const outcome = JSON.parse(done.stdout) as {
      outcome: string;
      placed: string[];
      proof: object;
      notes: string[];
    };
    expect(outcome).toMatchObject({
      outcome: 'prepared',
      placed: [],
      removed: [],
      proof: { backupFile: true },
    });
    expect(outcome.notes.join(' ')).toContain(REPLAY_OPTIONS.join(' '));
    expect(outcome.notes.join(' ')).toContain('rs.initiate()');
    expect((await prepare(data)).code).toBe(0);
  });

  test('refuses a copy that lacks a table', async () => {
    const data = await copy();
    const backup = await readFile(join(data, 'db', 'WiredTiger.backup'), 'latin1');
    const table = /file:(collection-[^\n]*\.wt)/.exec(backup)?.[1] ?? '';
    await rm(join(data, 'db', table));
    const done = await prepare(data);
    expect(done.code).toBe(7);
    expect(done.stderr).toContain(table);
  });

  test('refuses a copy that was not cut under the lock', async () => {
    const data = await copy();
    await rm(join(data, 'db', 'WiredTiger.backup'));
    const done = await prepare(data);
    expect(done.code).toBe(7);
    expect(done.stderr).toContain('RESTORE_DATA_PAST');
  });

  test('refuses a copy while a server runs on it, and afterwards, because it is past the freeze', async () => {
    const data = await copy();
    const server = await serverOn(data).start();
    expect((await prepare(data)).stderr).toContain('RESTORE_SERVER_RUNNING');
    await server.stop();
    expect((await prepare(data)).stderr).toContain('RESTORE_DATA_PAST');
  });

  test('recognizes a copy that it proved before a server ran on it', async () => {
    const data = await copy();
    await prepare(data);
    const server = await serverOn(data).start();
    await server.stop();
    const done = await prepare(data, '-o', 'json');
    expect(JSON.parse(done.stdout)).toMatchObject({ outcome: 'already-prepared' });
  });
});

describe('the steps it prints', () => {
  test(
    'make a server alone, then a new set, which lack nothing and are verified',
    { timeout: 180_000 },
    async () => {
      const data = await copy();
      await prepare(data);
      const alone = serverOn(data);
      await alone.start(REPLAY_OPTIONS);
      await alone.signal('SIGTERM');
      await alone.start();
      expect(await missing(alone.client({ auth: ROOT }), acked)).toEqual([]);
      await alone.signal('SIGTERM');
      const open = new Mongod({ dbPath: alone.dbPath, auth: false });
      servers.push(open);
      await open.start();
      await open.client().db('local').dropDatabase();
      await open.signal('SIGTERM');
      await alone.start();
      const verifier = await sidecarBeside(alone, data);
      await until(async () => (await verifier.status()).restore?.verified !== null, 30_000);
      expect((await verifier.status()).restore).toMatchObject({ id: 'backup', verified: true });
      await verifier.stop();
      await alone.signal('SIGTERM');

      const renewed = await serverOn(data, 'rs1').start();
      const config = { _id: 'rs1', members: [{ _id: 0, host: renewed.address }] };
      await renewed.admin({ replSetInitiate: config });
      await until(async () => (await renewed.ask({ hello: 1 }))['isWritablePrimary'] === true);
      expect(await missing(renewed.client({ auth: ROOT }), acked)).toEqual([]);
      await renewed.stop();
    },
  );

  test(
    'need their first one when the oplog is ahead: without it verify fails',
    { timeout: 180_000 },
    async () => {
      const data = await copy();
      await prepare(data);
      const plain = await serverOn(data).start();
      const lost = await missing(plain.client({ auth: ROOT }), acked);
      const verifier = await sidecarBeside(plain, data);
      const verified = await verifier.api('POST', '/v1/verify', { receipt });
      // Whether a write is lost depends on the last checkpoint. If one is, verify must report it.
      expect(verified.status).toBe(lost.length === 0 ? 200 : 409);
      await verifier.stop();
      await plain.stop();
    },
  );

  test('let the same member replay its oplog by itself', { timeout: 120_000 }, async () => {
    const data = await copy();
    await prepare(data);
    const member = serverOn(data, 'rs0');
    member.port = set.first.port;
    await member.start();
    await until(async () => (await member.ask({ hello: 1 }))['secondary'] === true);
    expect(await missing(member.client({ auth: ROOT }), acked)).toEqual([]);
    const verifier = await sidecarBeside(member, data);
    await until(async () => (await verifier.status()).restore?.verified === true, 30_000);
    await verifier.stop();
    await member.stop();
  });
});

describe('verify', () => {
  test('rejects other data, and a receipt of another engine', { timeout: 120_000 }, async () => {
    const other = new Mongod({ dbPath: join(dir, `other${(count += 1)}`) });
    servers.push(other);
    await other.start();
    await other.ask({ createUser: ROOT.username, pwd: ROOT.password, roles: ['root'] });
    await createUser(other.client({ auth: ROOT }), ['mongodb-validate']);
    const verifier = await sidecarBeside(other, other.dbPath);
    const verified = await verifier.api('POST', '/v1/verify', { receipt });
    expect(verified.status).toBe(409);
    expect(JSON.stringify(verified.body)).toContain('This is other data');
    const foreign = { ...receipt, engine: { ...receipt.engine, name: 'postgres' } };
    expect((await verifier.api('POST', '/v1/verify', { receipt: foreign })).status).toBe(422);
    await verifier.stop();
  });

  test(
    'proves nothing outside the set from a receipt without counts',
    { timeout: 120_000 },
    async () => {
      const data = await copy();
      await prepare(data);
      const plain = await serverOn(data).start();
      const verifier = await sidecarBeside(plain, data);
      const uncounted = { ...receipt, restore: { ...receipt.restore, documents: null } };
      const verified = await verifier.api('POST', '/v1/verify', { receipt: uncounted });
      expect(verified.status).toBe(409);
      expect(JSON.stringify(verified.body)).toContain('the documents prove nothing either');
      await verifier.stop();
      await plain.stop();
    },
  );

  test('validates every collection on request', { timeout: 120_000 }, async () => {
    const data = await copy();
    await prepare(data);
    const server = serverOn(data);
    await server.start(REPLAY_OPTIONS);
    await server.signal('SIGTERM');
    await server.start();
    const role = await createRole(server.client({ auth: ROOT }), 'mongodb-validate');
    await server.admin({ grantRolesToUser: ROLE.username, roles: [role] });
    const verifier = await sidecarBeside(server, data);
    const file = join(dir, 'receipt.json');
    await writeFile(file, JSON.stringify(receipt));
    const done = await verifier.api('POST', '/v1/verify', { receipt, amcheck: true });
    expect(done.status, JSON.stringify(done.body)).toBe(200);
    const check = (done.body.checks as { name: string; message: string }[]).find(
      ({ name }) => name === 'validate',
    );
    expect(check?.message).toMatch(/collections are valid/);
    await verifier.stop();
    await server.stop();
  });
});
