import { mkdir, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import type { MongoClient } from 'mongodb';
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest';
import {
  compareOpTimes,
  type OpTime,
  parseOpTime,
  readOpTime,
} from '../../../src/engines/mongodb/optime.ts';
import { type Mongod, MongoSet, mongoEnv, ROLE, until } from '../../support/mongod.ts';
import { makeTempDir } from '../../support/postgres.ts';
import { TestSidecar } from '../../support/sidecar.ts';

/** Members that apply nothing for a while: the server's own switch for tests of a set. */
const SWITCHABLE = ['--setParameter=enableTestCommands=1'];

let dir: string;
let set: MongoSet;
let client: MongoClient;
let count = 0;
const sidecars: TestSidecar[] = [];

beforeAll(async () => {
  dir = await makeTempDir();
  set = await MongoSet.start(dir, {
    args: SWITCHABLE,
    configure: (index) => (index === 0 ? {} : { priority: 0 }),
  });
  client = set.client();
});

afterAll(async () => {
  await client.close();
  await set.stop();
  await rm(dir, { recursive: true, force: true });
});

afterEach(async () => {
  for (const sidecar of sidecars.splice(0)) await sidecar.stop();
  for (const index of [1, 2]) await applies(set.member(index), true);
  await set.caughtUp();
});

async function applies(member: Mongod, on: boolean): Promise<void> {
  await member.admin({ configureFailPoint: 'rsSyncApplyStop', mode: on ? 'off' : 'alwaysOn' });
}

async function sidecarBeside(member: Mongod, env = {}): Promise<TestSidecar> {
  count += 1;
  const own = join(dir, `q${count}`);
  await mkdir(own);
  const sidecar = new TestSidecar(own, { ...mongoEnv(member, member.dbPath), ...env });
  sidecars.push(sidecar);
  return await sidecar.start();
}

/** A module with which these ports cannot be reached from the process that loads it. */
function unreachable(ports: readonly number[]): string {
  return `import { Socket } from 'node:net';
const { connect } = Socket.prototype;
Socket.prototype.connect = function (...args) {
  const { port } = [args[0]].flat()[0] ?? {};
  if (!${JSON.stringify(ports)}.includes(Number(port))) return connect.apply(this, args);
  process.nextTick(() => this.destroy(new Error('connect EHOSTUNREACH')));
  return this;
};
`;
}

/** Acknowledged by the primary alone. */
async function write(): Promise<void> {
  const things = client.db('app').collection('things');
  await things.insertOne({ n: 1 }, { writeConcern: { w: 1 } });
}

function at(position: unknown): OpTime {
  const found = parseOpTime(String(position));
  if (!found) throw new Error(`${String(position)} is no position`);
  return found;
}

describe('a secondary that is behind', () => {
  test('is waited for until it has what the primary had, and only then locked', async () => {
    const sidecar = await sidecarBeside(set.member(1));
    await applies(set.member(1), false);
    await write();
    const freezing = sidecar.api('POST', '/v1/freeze', { id: 'behind', timeout: '60s' });
    await until(async () => {
      const { lease } = await sidecar.status();
      return /^waiting for this secondary to have .*; it has/.test(lease?.progress ?? '');
    }, 15_000);
    await sleep(1_000);
    expect((await sidecar.status()).state).toBe('freezing');
    expect(await set.member(1).locked()).toBe(false);
    await applies(set.member(1), true);
    const { status, body } = await freezing;
    expect(status, JSON.stringify(body)).toBe(200);
    const { opTime, primaryOpTime } = body.position;
    expect(compareOpTimes(at(opTime), at(primaryOpTime))).toBeGreaterThanOrEqual(0);
    expect(body.durationsMs.prepare).toBeGreaterThan(1_000);
    expect((await sidecar.api('POST', '/v1/thaw', { id: 'behind' })).body.verdict).toBe(
      'consistent',
    );
  });

  test('takes the position of its primary from a heartbeat where it cannot be reached, and says who could not be asked', async () => {
    const others = [set.first, set.member(2)];
    const blocker = join(dir, 'blocker.mjs');
    await writeFile(blocker, unreachable(others.map(({ port }) => port)));
    await write();
    const sidecar = await sidecarBeside(set.member(1), { NODE_OPTIONS: `--import=${blocker}` });
    const { lastWrite } = await set.first.ask({ hello: 1 });
    const { status, body } = await sidecar.api('POST', '/v1/freeze', { id: 'heard' });
    expect(status, JSON.stringify(body)).toBe(200);
    const { opTime, primaryOpTime } = body.position;
    const known = readOpTime((lastWrite as { opTime: unknown }).opTime);
    expect(known && compareOpTimes(at(primaryOpTime), known)).toBeGreaterThanOrEqual(0);
    expect(compareOpTimes(at(opTime), at(primaryOpTime))).toBeGreaterThanOrEqual(0);
    expect(body.reasons).toContain('others-not-asked');
    for (const { address } of others) expect(body.notes.join(' ')).toContain(address);
    expect((await sidecar.api('POST', '/v1/thaw', { id: 'heard' })).status).toBe(200);
  });

  test('is waited for no longer than the freeze may take, and never locked', async () => {
    const sidecar = await sidecarBeside(set.member(1));
    await applies(set.member(1), false);
    await write();
    const { status, body } = await sidecar.api('POST', '/v1/freeze', { timeout: '5s' });
    expect(status).toBe(504);
    expect(body.error).toMatchObject({
      code: 'FREEZE_TIMEOUT',
      message: expect.stringContaining('waiting for this secondary to have'),
    });
    expect((await sidecar.status()).state).toBe('thawed');
    await applies(set.member(1), true);
    await sleep(500);
    expect(await set.member(1).locked()).toBe(false);
  });
});

describe('a primary that a majority is behind of', () => {
  test('is held once they have what it has', async () => {
    const sidecar = await sidecarBeside(set.first);
    for (const index of [1, 2]) await applies(set.member(index), false);
    await write();
    const freezing = sidecar.api('POST', '/v1/freeze', { id: 'ahead', timeout: '60s' });
    await until(() => set.first.locked());
    await sleep(1_000);
    expect((await sidecar.status()).state).toBe('freezing');
    await applies(set.member(1), true);
    const { status, body } = await freezing;
    expect(status, JSON.stringify(body)).toBe(200);
    expect(body.position.majorityOpTime).toBe(body.position.opTime);
    expect((await sidecar.api('POST', '/v1/thaw', { id: 'ahead' })).status).toBe(200);
  });

  test('is held for no longer than the freeze may take when they never do', async () => {
    const sidecar = await sidecarBeside(set.first);
    for (const index of [1, 2]) await applies(set.member(index), false);
    await write();
    const { status, body } = await sidecar.api('POST', '/v1/freeze', { timeout: '2s' });
    expect(status, JSON.stringify(body)).toBe(504);
    expect(body.error).toMatchObject({ code: 'FREEZE_TIMEOUT' });
    expect((await sidecar.status()).state).toBe('thawed');
    expect(await set.first.locked()).toBe(false);
    await write();
  });
});

test('a member that does not know the user cannot be asked for a lock, and the receipt says so', async () => {
  const sidecar = await sidecarBeside(set.first);
  await applies(set.member(2), false);
  const username = 'newcomer';
  const { password: pwd } = ROLE;
  await set.first.admin({ createUser: username, pwd, roles: ['quiesce'], writeConcern: { w: 2 } });
  await sidecar.stop();
  sidecar.env['MONGODB_URI'] = (sidecar.env['MONGODB_URI'] ?? '').replace(ROLE.username, username);
  await sidecar.start();
  const { status, body } = await sidecar.api('POST', '/v1/freeze', { id: 'unknown' });
  expect(status, JSON.stringify(body)).toBe(200);
  expect(body.reasons).toContain('others-not-asked');
  expect(body.notes.join(' ')).toContain(set.member(2).address);
  expect((await sidecar.api('POST', '/v1/thaw', { id: 'unknown' })).status).toBe(200);
});
