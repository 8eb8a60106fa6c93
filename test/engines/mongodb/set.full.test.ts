import { mkdir, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import type { MongoClient } from 'mongodb';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { type Mongod, MongoSet, mongoEnv, until } from '../../support/mongod.ts';
import { makeTempDir } from '../../support/postgres.ts';
import { TestSidecar } from '../../support/sidecar.ts';

const LOCK = { fsync: 1, lock: true };
const UNLOCK = { fsyncUnlock: 1 };

let dir: string;
let set: MongoSet;
let client: MongoClient;
let count = 0;
const sidecars: TestSidecar[] = [];

beforeAll(async () => {
  dir = await makeTempDir();
  set = await MongoSet.start(dir, {
    configure: (index) => (index === 2 ? { priority: 0, hidden: true } : {}),
  });
  client = set.client({ serverSelectionTimeoutMS: 30_000 });
  await client.db('app').collection('things').insertOne({ n: 1 });
});

afterAll(async () => {
  await client.close();
  await set.stop();
  await rm(dir, { recursive: true, force: true });
});

beforeEach(async () => {
  for (const member of set.members) if (member.exited !== undefined) await member.start();
  await until(async () => (await set.states())[0] === 'PRIMARY');
  await set.settled();
});

afterEach(async () => {
  for (const sidecar of sidecars.splice(0)) await sidecar.signal('SIGKILL');
  for (const member of set.members) {
    while (member.exited === undefined && (await member.locked())) await member.admin(UNLOCK);
  }
});

async function sidecarBeside(member: Mongod): Promise<TestSidecar> {
  count += 1;
  const own = join(dir, `q${count}`);
  await mkdir(own);
  const sidecar = new TestSidecar(own, mongoEnv(member, member.dbPath));
  sidecars.push(sidecar);
  return await sidecar.start();
}

async function write(): Promise<void> {
  const writeConcern = { w: 'majority', j: true } as const;
  await client.db('app').collection('things').insertOne({ n: 2 }, { writeConcern });
}

async function ended(sidecar: TestSidecar, withinMs = 15_000): Promise<void> {
  await until(async () => (await sidecar.status()).state === 'thawed', withinMs);
}

describe('a primary', () => {
  test('reports itself, its set, its term, its members and the position of a majority', async () => {
    const sidecar = await sidecarBeside(set.first);
    const { body, status } = await sidecar.api('POST', '/v1/freeze', { id: 'p' });
    expect(status).toBe(200);
    expect(body).toMatchObject({
      engine: {
        role: 'primary',
        identity: { set: 'rs0', member: set.first.address, dataId: expect.any(String) },
      },
      writesBlocked: true,
      position: { primary: set.first.address, term: expect.any(Number), primaryOpTime: null },
      restore: {
        set: {
          name: 'rs0',
          members: expect.arrayContaining([
            expect.objectContaining({ state: 'PRIMARY' }),
            expect.objectContaining({ hidden: true }),
          ]),
        },
      },
      reasons: ['primary-locked'],
    });
    expect(body.position.majorityOpTime).toBe(body.position.opTime);
    expect(body.notes[0]).toContain(set.member(2).address);
    expect((await sidecar.api('POST', '/v1/thaw', { id: 'p' })).body.verdict).toBe('consistent');
  });

  test('gets no lease longer than 30 s, and no renewal', async () => {
    const sidecar = await sidecarBeside(set.first);
    for (const renew of [false, true]) {
      const { body } = await sidecar.api('POST', '/v1/freeze', { id: 'short', ttl: '10m', renew });
      expect(Date.parse(body.expiresAt) - Date.now()).toBeLessThanOrEqual(30_000);
    }
    const { lease } = await sidecar.status();
    expect(lease?.remainingMs).toBeLessThanOrEqual(30_000);
    await sidecar.api('POST', '/v1/thaw', { id: 'short' });
  });

  test('that is to step down is released immediately: it steps down and survives', async () => {
    const sidecar = await sidecarBeside(set.first);
    await sidecar.api('POST', '/v1/freeze', { id: 'down' });
    const command = { replSetStepDown: 5, secondaryCatchUpPeriodSecs: 2, force: true };
    await set.first.admin(command);
    await ended(sidecar);
    const thawed = await sidecar.api('POST', '/v1/thaw', { id: 'down' });
    expect(thawed).toMatchObject({ status: 409, body: { error: { code: 'NOT_CONSISTENT' } } });
    expect(thawed.body.receipt.reasons).toContain('stepdown');
    expect(set.first.exited).toBeUndefined();
    await write();
  });

  test('that is killed while it is frozen ends the freeze, and another is elected', async () => {
    const sidecar = await sidecarBeside(set.first);
    await sidecar.api('POST', '/v1/freeze', { id: 'killed' });
    await set.first.signal('SIGKILL');
    await ended(sidecar);
    const thawed = await sidecar.api('POST', '/v1/thaw', { id: 'killed' });
    expect(thawed).toMatchObject({ status: 409, body: { error: { code: 'NOT_CONSISTENT' } } });
    expect(thawed.body.receipt.reasons).toContain('server-gone');
    await until(async () => (await set.states(set.member(1)))[1] === 'PRIMARY');
    await write();
  });

  test('is refused when a member is down: with it locked no primary could be elected', async () => {
    const sidecar = await sidecarBeside(set.first);
    await set.member(1).signal('SIGKILL');
    await until(async () => (await set.states())[1] !== 'SECONDARY');
    const frozen = await sidecar.api('POST', '/v1/freeze');
    expect(frozen).toMatchObject({ status: 502, body: { error: { code: 'ENGINE_MAJORITY' } } });
    expect(await set.first.locked()).toBe(false);
  });

  test('is refused while another member is locked', async () => {
    await set.member(2).admin(LOCK);
    const sidecar = await sidecarBeside(set.first);
    const frozen = await sidecar.api('POST', '/v1/freeze');
    expect(frozen).toMatchObject({ status: 502, body: { error: { code: 'ENGINE_MAJORITY' } } });
    expect(frozen.body.error.message).toContain(`${set.member(2).address} locked`);
  });

  test('lets writers go on after a freeze that an open transaction held up', async () => {
    const sidecar = await sidecarBeside(set.first);
    const session = client.startSession();
    session.startTransaction();
    await client.db('app').collection('things').insertOne({ n: 3 }, { session });
    const frozen = await sidecar.api('POST', '/v1/freeze', { id: 'late', timeout: '1s' });
    expect(frozen.body).toMatchObject({ error: { code: 'FREEZE_TIMEOUT' } });
    expect((await sidecar.status()).state).toBe('thawing');
    await session.abortTransaction();
    await session.endSession();
    await ended(sidecar);
    expect(await set.first.locked()).toBe(false);
    await write();
  });
});

describe('a secondary', () => {
  test('has every write of the primary when it is frozen, and lets writers go on', async () => {
    const sidecar = await sidecarBeside(set.member(2));
    await write();
    const { body } = await sidecar.api('POST', '/v1/freeze', { id: 's' });
    expect(body).toMatchObject({
      engine: { role: 'hidden secondary' },
      writesBlocked: false,
      position: { primary: set.first.address },
      reasons: ['secondary'],
    });
    const parts = (text: string): number[] => text.split(':').map(Number);
    const [atSeconds = 0, at = 0] = parts(body.position.opTime);
    const [fromSeconds = 0, from = 0] = parts(body.position.primaryOpTime);
    expect(atSeconds > fromSeconds || (atSeconds === fromSeconds && at >= from)).toBe(true);
    await write();
    expect((await sidecar.api('POST', '/v1/thaw', { id: 's' })).body.verdict).toBe('consistent');
  });

  test('with a configured delay is refused: it never has the newest writes', async () => {
    const delay = async (seconds: number): Promise<void> => {
      const { config } = await set.first.admin({ replSetGetConfig: 1 });
      config.version += 1;
      config.members[2].secondaryDelaySecs = seconds;
      await set.first.admin({ replSetReconfig: config });
    };
    await delay(3_600);
    try {
      const sidecar = await sidecarBeside(set.member(2));
      await until(async () => {
        const { body } = await sidecar.api('POST', '/v1/freeze', { id: 'lag' });
        if (body.verdict === 'held') await sidecar.api('POST', '/v1/thaw', { id: 'lag' });
        return body.error?.code === 'ENGINE_BEHIND';
      }, 20_000);
    } finally {
      await delay(0);
    }
  });

  test('is released when the primary dies and its vote is needed', async () => {
    const sidecar = await sidecarBeside(set.member(2));
    await sidecar.api('POST', '/v1/freeze', { id: 'vote', ttl: '60s' });
    await set.first.signal('SIGKILL');
    await ended(sidecar, 30_000);
    const thawed = await sidecar.api('POST', '/v1/thaw', { id: 'vote' });
    expect(thawed.body.receipt.reasons).toContain('election-blocked');
    await until(async () => (await set.states(set.member(1)))[1] === 'PRIMARY');
    await write();
  });

  test('stays held when its set elects another primary, and the thaw reports the changed term', async () => {
    const sidecar = await sidecarBeside(set.member(2));
    const frozen = await sidecar.api('POST', '/v1/freeze', { id: 'term', ttl: '60s' });
    expect(frozen.body.position.term).toEqual(expect.any(Number));
    await set.first.admin({ replSetStepDown: 6, secondaryCatchUpPeriodSecs: 5 });
    await until(async () => (await set.states())[1] === 'PRIMARY');
    await write();
    const thawed = await sidecar.api('POST', '/v1/thaw', { id: 'term' });
    expect(thawed).toMatchObject({ status: 409, body: { error: { code: 'NOT_CONSISTENT' } } });
    expect(thawed.body.receipt.reasons).toContain('term-changed');
    expect(await set.member(2).locked()).toBe(false);
  });

  test('that is killed while it is frozen ends the freeze', async () => {
    const sidecar = await sidecarBeside(set.member(2));
    await sidecar.api('POST', '/v1/freeze', { id: 'dead' });
    await set.member(2).signal('SIGKILL');
    await ended(sidecar);
    const thawed = await sidecar.api('POST', '/v1/thaw', { id: 'dead' });
    expect(thawed).toMatchObject({ status: 409, body: { error: { code: 'NOT_CONSISTENT' } } });
  });
});

test('two sidecars that freeze two members at the same moment never both hold', async () => {
  const sidecars = [await sidecarBeside(set.member(1)), await sidecarBeside(set.member(2))];
  const answers = await Promise.all(sidecars.map((sidecar) => sidecar.api('POST', '/v1/freeze')));
  expect(answers.filter(({ status }) => status === 200).length).toBeLessThan(2);
  await sleep(500);
  await write();
});

test('metadata shows the members, their lag and how far back the oplog reaches', async () => {
  const sidecar = await sidecarBeside(set.member(1));
  const { body } = await sidecar.api('GET', '/v1/metadata');
  expect(body).toMatchObject({
    role: 'secondary',
    replication: {
      set: 'rs0',
      primary: set.first.address,
      members: expect.arrayContaining([
        expect.objectContaining({ state: 'PRIMARY', lagSeconds: expect.any(Number) }),
      ]),
    },
    oplog: { windowSeconds: expect.any(Number) },
  });
});
