import { mkdir, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { afterAll, afterEach, beforeAll, expect, test } from 'vitest';
import { FakeMongos } from '../../support/fake-mongos.ts';
import { KEY, type Mongod, mongoEnv, MongoSet } from '../../support/mongod.ts';
import { makeTempDir } from '../../support/postgres.ts';
import { TestSidecar } from '../../support/sidecar.ts';

let dir: string;
let configs: MongoSet;
let shard: MongoSet;
let count = 0;
const sidecars: TestSidecar[] = [];

/** A real cluster of one shard. The test itself sends the config server the commands of a mongos. */
beforeAll(async () => {
  dir = await makeTempDir();
  configs = await startMember('configs', '--configsvr', { configsvr: true });
  shard = await startMember('shard', '--shardsvr');
  const asMember = configs.first.client({
    auth: { username: '__system', password: KEY },
    authSource: 'local',
  });
  await asMember.db('admin').command({
    _configsvrAddShard: `shard/${shard.first.address}`,
    name: 'shard',
    writeConcern: { w: 'majority' },
  });
});

afterAll(async () => {
  await shard.stop();
  await configs.stop();
  await rm(dir, { recursive: true, force: true });
});

afterEach(async () => {
  for (const sidecar of sidecars.splice(0)) await sidecar.stop();
});

async function startMember(name: string, role: string, initiate = {}): Promise<MongoSet> {
  const own = join(dir, name);
  await mkdir(own);
  return await MongoSet.start(own, { members: 1, name, args: [role], initiate });
}

async function sidecarWith(env: Record<string, string>): Promise<TestSidecar> {
  count += 1;
  const own = join(dir, `q${count}`);
  await mkdir(own);
  const sidecar = new TestSidecar(own, { ...env, QUIESCE_ENGINE: 'mongodb' });
  sidecars.push(sidecar);
  return await sidecar.start('live');
}

test.each([
  ['a shard', () => shard.first],
  ['a config server', () => configs.first],
] as const)('%s is frozen, and its receipt covers only that server', async (_what, server) => {
  const member: Mongod = server();
  const sidecar = await sidecarWith(mongoEnv(member, member.dbPath));
  const { status, body } = await sidecar.api('POST', '/v1/freeze', { id: 'alone' });
  expect(status, JSON.stringify(body)).toBe(200);
  expect(body).toMatchObject({ restore: { shard: true }, engine: { role: 'primary' } });
  expect(body.reasons).toContain('shard-alone');
  expect(body.notes.join(' ')).toContain('not of one point in time');
  const thawed = await sidecar.api('POST', '/v1/thaw', { id: 'alone' });
  expect(thawed.body).toMatchObject({ verdict: 'consistent' });
  expect(thawed.body.reasons).toContain('shard-alone');
  expect((await sidecar.api('GET', '/v1/metadata')).body).toMatchObject({ shard: true });
});

test('a mongos is refused by its role, without a request for a lock', async () => {
  const mongos = await FakeMongos.listen();
  try {
    const sidecar = await sidecarWith({ MONGODB_URI: `mongodb://${mongos.address}/` });
    const { status, body } = await sidecar.api('POST', '/v1/freeze');
    expect(status, JSON.stringify(body)).toBe(502);
    expect(body.error).toMatchObject({ code: 'ENGINE_ROLE' });
    expect(body.error.message).toMatch(/a mongos, which holds no data.*each shard/);
    expect((await sidecar.api('GET', '/v1/metadata')).body).toMatchObject({ role: 'router' });
    await sidecar.stop();
    expect(mongos.asked).not.toContain('fsync');
  } finally {
    await mongos.close();
  }
});
