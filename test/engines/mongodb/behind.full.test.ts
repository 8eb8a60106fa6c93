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

/** Makes members apply nothing for a while, with the server's own fail point. */
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

/** A module that keeps the process that loads it from connecting to these ports. */
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

/** A write that only the primary acknowledges. */
async function write(): Promise<void> {
  const things = client.db('app').collection('things');
  await things.insertOne({ n: 1 }, { writeConcern: { w: 1 } });
}

function at(position: unknown): OpTime {
  const found = parseOpTime(String(position));
  if (!found) throw new Error(`${String(position)} is not a position`);
  return found;
}

describe('a secondary that is behind', () => {
  test('is locked only once it has every write that the primary had', async () => {
    const sidecar = await sidecarBeside(set.member(1));
    await applies(set.member(1), false);
    await write();
    const freezing = sidecar.api('POST', '/v1/freeze', { id: 'behind', timeout: '60s' });
    await until(async () => {
      const { lease } = await sidecar.status();
      return /^waiting for this secondary to reach .*; it is at/.test(lease?.progress ?? '');
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

  test('takes the position of an unreachable primary from a heartbeat, and lists the members not asked', async () => {
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

  test('fails the freeze at its timeout, and is never locked', async () => {
    const sidecar = await sidecarBeside(set.member(1));
    await applies(set.member(1), false);
    await write();
    const { status, body } = await sidecar.api('POST', '/v1/freeze', { timeout: '5s' });
    expect(status).toBe(504);
    expect(body.error).toMatchObject({
      code: 'FREEZE_TIMEOUT',
      message: expect.stringContaining('waiting for this secondary to reach'),
    });
    expect((await sidecar.status()).state).toBe('thawed');
    await applies(set.member(1), true);
    await sleep(500);
    expect(await set.member(1).locked()).toBe(false);
  });
});

describe('a primary ahead of its majority', () => {
  test('is held once a majority has its writes', async () => {
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

  test('fails the freeze at its timeout when the majority never catches up', async () => {
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
  const username = `newcomer${count}`;
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
