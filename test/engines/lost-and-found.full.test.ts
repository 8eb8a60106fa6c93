import { execFile } from 'node:child_process';
import {
  chmod,
  chown,
  lstat,
  mkdir,
  readdir,
  rename,
  rm,
  rmdir,
  writeFile,
} from 'node:fs/promises';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { afterEach, describe, expect, it } from 'vitest';
import {
  EmbeddedPostgres,
  freePort,
  type ServerUser,
  serverUser,
} from '../../src/testbed/postgres/server.ts';
import { unmount } from '../../src/testbed/volume/mounts.ts';
import { tool } from '../../src/testbed/os.ts';
import { cleanEnv, cliPath } from '../../src/testbed/processes.ts';
import { makeBlockVolume } from '../support/block-volume.ts';
import { copyFileByFile } from '../support/file-copy.ts';
import { Mongod, mongoEnv, ROOT, startStandalone } from '../support/mongod.ts';
import { makeTempDir, ROLE_PASSWORD, roleSql } from '../support/postgres.ts';
import { aclLine, RedisServer, USER } from '../support/redis.ts';
import { TestSidecar } from '../support/sidecar.ts';
import { query, roleEnv } from '../support/superuser.ts';

const run = promisify(execFile);
const undo: (() => unknown)[] = [];
afterEach(async () => {
  for (const one of undo.splice(0).toReversed()) await one();
});

/** A server that runs as its unprivileged user, with its data on a volume or on a copy of it. */
interface Server {
  readonly env: Readonly<Record<string, string>>;
  /** How many rows, keys or documents an application has written. */
  count(): Promise<number>;
}

interface Place {
  /** Where the volume is mounted. */
  readonly volume: string;
  readonly dir: string;
  readonly user: ServerUser;
}

interface Subject {
  readonly name: string;
  /** @param fresh an application has written ten of them when this resolves. */
  start(place: Place, fresh: boolean): Promise<Server>;
}

/** Creates the entries that root, a filer, a desktop and an administrator leave, closed to all other users. */
async function litter(folder: string): Promise<void> {
  for (const name of ['.snapshot', '.Trash-1000', 'notes-of-somebody']) {
    await mkdir(join(folder, name), { mode: 0o700 });
    await writeFile(join(folder, name, 'file'), 'x', { mode: 0o600 });
  }
  await writeFile(join(folder, 'aquota.user'), 'x', { mode: 0o600 });
  // A filer's snapshots are a file system of their own.
  await tool('mount', '-t', 'tmpfs', 'none', join(folder, '.snapshot'));
  undo.push(() => unmount(join(folder, '.snapshot')));
}

/**
 * initdb refuses a folder that is not empty. So PGDATA is one level below the mount, as is usual, or is
 * moved to the mount itself afterwards.
 */
const postgres = (below: string, title: string): Subject => ({
  name: `PostgreSQL ${title}`,
  start: async ({ volume, dir, user }, fresh) => {
    const dataDir = join(volume, below);
    const socketDir = join(dir, `s${String(fresh)}`);
    const pg = await EmbeddedPostgres.at({ major: 17, dataDir, port: await freePort(), socketDir });
    undo.push(() => pg.stop('immediate'));
    if (fresh) {
      await initialize(pg, volume, user);
      if (below !== '') {
        await litter(dataDir);
        await mkdir(join(dataDir, 'lost+found'), { mode: 0o700 });
      }
      await run('sync', ['-f', volume]);
    }
    await pg.start();
    if (fresh) {
      await query(pg, await roleSql());
      await query(pg, `ALTER ROLE quiesce PASSWORD '${ROLE_PASSWORD}'`);
      await query(pg, 'CREATE TABLE app AS SELECT generate_series(1, 10) AS n');
    }
    return {
      env: { ...roleEnv(pg), QUIESCE_ENGINE: 'postgres' },
      count: async () =>
        (await query<{ n: number }>(pg, 'SELECT count(*)::int AS n FROM app'))[0]?.n ?? 0,
    };
  },
});

async function initialize(pg: EmbeddedPostgres, volume: string, user: ServerUser): Promise<void> {
  const { dataDir } = pg.options;
  const made = await EmbeddedPostgres.at({ ...pg.options, dataDir: join(volume, 'pgdata') });
  await mkdir(made.options.dataDir, { mode: 0o700 });
  await chown(made.options.dataDir, user.uid, user.gid);
  await made.initdb();
  if (dataDir === made.options.dataDir) return;
  for (const name of await readdir(made.options.dataDir)) {
    await rename(join(made.options.dataDir, name), join(dataDir, name));
  }
  await rmdir(made.options.dataDir);
  await chmod(dataDir, 0o700);
}

const mongodb = (args: readonly string[], title: string): Subject => ({
  name: `MongoDB at the mount's root${title}`,
  start: async ({ volume, user }, fresh) => {
    const server = fresh
      ? await startStandalone(volume, args, user)
      : await new Mongod({ dbPath: volume, args, user }).start();
    undo.push(() => server.stop());
    const things = server.client({ auth: ROOT }).db('my-app').collection('things');
    if (fresh) {
      const documents = Array.from({ length: 10 }, (_one, n) => ({ n }));
      await things.insertMany(documents, { writeConcern: { w: 1, j: true } });
    }
    return { env: mongoEnv(server), count: () => things.countDocuments() };
  },
});

const redis = (
  binary: string,
  config: readonly string[],
  title: string,
  { below = '', denied = '' } = {},
): Subject => ({
  name: `${binary} ${below === '' ? "at the mount's root" : 'in a folder below it'}, ${title}`,
  start: async ({ volume, dir, user }, fresh) => {
    const asUser = join(dir, 'as-user');
    const ids = `--reuid ${user.uid} --regid ${user.gid} --clear-groups`;
    await writeFile(asUser, `#!/bin/sh\nexec setpriv ${ids} ${binary} "$@"\n`);
    await chmod(asUser, 0o755);
    const lines = [...config, `${await aclLine()} ${denied}`];
    const data = join(volume, below);
    await mkdir(data, { recursive: true });
    await chown(data, user.uid, user.gid);
    const server = await RedisServer.start({ binary: asUser, dir: data, config: lines });
    undo.push(() => server.kill());
    if (fresh) for (let n = 0; n < 10; n += 1) await server.admin.set(`k${n}`, 'x');
    return { env: server.env(USER), count: () => server.admin.dbsize() };
  },
});

const SUBJECTS = [
  postgres('pgdata', 'in a folder below the mount'),
  postgres('', 'with the mount as PGDATA'),
  mongodb([], ''),
  mongodb(['--directoryperdb', '--wiredTigerDirectoryForIndexes'], ', a folder a database'),
  redis('redis-server', ['appendonly yes', 'save ""'], 'with an AOF'),
  redis('valkey-server', ['appendonly no', 'save 3600 1'], 'RDB only'),
  // Without CONFIG the server does not report where its files are, so they are searched for.
  redis('redis-server', ['appendonly yes', 'save ""'], 'without CONFIG', {
    below: 'var/data',
    denied: '-config',
  }),
];

async function place(): Promise<
  Place & { readonly volumes: Awaited<ReturnType<typeof volumeIn>> }
> {
  const dir = await makeTempDir();
  undo.push(() => rm(dir, { recursive: true, force: true }));
  const volumes = await volumeIn(dir);
  const user = await serverUser();
  if (!user) throw new Error('a file system of its own takes root');
  await chown(volumes.path, user.uid, user.gid);
  await litter(volumes.path);
  return { volume: volumes.path, dir, user, volumes };
}

async function volumeIn(dir: string) {
  const volume = await makeBlockVolume(dir);
  expect(volume.reason).toBeUndefined();
  undo.push(() => volume.dispose());
  return volume;
}

async function sidecarFor(
  { dir, user, volume }: Place,
  { env }: Server,
  more: Readonly<Record<string, string>>,
): Promise<TestSidecar> {
  const folder = join(dir, `q-${more['QUIESCE_COPY']}-${volume.length}`);
  await mkdir(folder);
  await chown(folder, user.uid, user.gid);
  const sidecar = new TestSidecar(folder, { ...env, QUIESCE_DATA_DIR: volume, ...more }, user);
  undo.push(() => sidecar.signal('SIGKILL'));
  return await sidecar.start();
}

/** Like the init container, as the server's own user. */
async function prepare({ user, volume }: Place): Promise<string> {
  const args = [cliPath(), 'prepare-restore', '--data', volume];
  const { uid, gid } = user;
  const { stdout } = await run(process.execPath, args, { uid, gid, env: cleanEnv({}), cwd: '/' });
  return stdout;
}

it('a block volume and its copies have lost+found, which only root may read', async () => {
  const { volumes } = await place();
  const { path } = await volumes.snapshot('copy');
  for (const root of [volumes.path, path]) {
    const found = await lstat(join(root, 'lost+found'));
    expect({ uid: found.uid, mode: found.mode & 0o777 }).toEqual({ uid: 0, mode: 0o700 });
  }
});

describe.each(SUBJECTS.map((subject) => [subject.name, subject] as const))(
  '%s',
  (_name, subject) => {
    it.each(['snapshot', 'files'] as const)(
      'is frozen, copied (%s), restored and verified despite foreign entries on the volume',
      { timeout: 120_000 },
      async (copy) => {
        const here = await place();
        const server = await subject.start(here, true);
        const sidecar = await sidecarFor(here, server, { QUIESCE_COPY: copy });
        const held = await sidecar.api('POST', '/v1/freeze', { id: 'one' });
        expect(held.body, JSON.stringify(held.body)).toMatchObject({ verdict: 'held' });
        const to = join(here.dir, 'copied');
        if (copy === 'files')
          await copyFileByFile(here.volume, to, { between: async () => undefined });
        const restored = copy === 'files' ? to : (await here.volumes.snapshot('copy')).path;
        const thawed = await sidecar.api('POST', '/v1/thaw', { id: 'one' });
        expect(thawed.body, JSON.stringify(thawed.body)).toMatchObject({ verdict: 'consistent' });
        const metadata = await sidecar.api('GET', '/v1/metadata');
        expect(metadata.status, JSON.stringify(metadata.body)).toBe(200);
        const verified = await sidecar.api('POST', '/v1/verify', { receipt: thawed.body });
        expect(verified.status, JSON.stringify(verified.body)).toBe(200);

        const there = { ...here, volume: restored };
        expect(await prepare(there)).toContain('one');
        const second = await subject.start(there, false);
        expect(await second.count()).toBe(10);
        const restoredSidecar = await sidecarFor(there, second, { QUIESCE_COPY: copy });
        await expect
          .poll(async () => (await restoredSidecar.status()).restore, { timeout: 30_000 })
          .toMatchObject({ id: 'one', verified: true });
        // The foreign entries are still there.
        await lstat(join(restored, 'lost+found'));
        await lstat(join(restored, 'notes-of-somebody/file'));
      },
    );
  },
);

it('PostgreSQL is found in a copy whose receipt does not say where it is', async () => {
  const here = await place();
  const server = await postgres('pgdata', '').start(here, true);
  // A sidecar that may not enter PGDATA cannot know.
  await chmod(here.volume, 0o1777);
  const other = { name: 'other', uid: 64_000, gid: 64_000 };
  const sidecar = await sidecarFor({ ...here, user: other }, server, { QUIESCE_COPY: 'snapshot' });
  await sidecar.api('POST', '/v1/freeze', { id: 'one' });
  const copy = await here.volumes.snapshot('copy');
  const { body } = await sidecar.api('POST', '/v1/thaw', { id: 'one' });
  expect(body, JSON.stringify(body)).toMatchObject({
    verdict: 'consistent',
    restore: { dataDirectory: null },
  });
  const owner = `${here.user.uid}:${here.user.gid}`;
  await run('chown', ['-R', owner, join(copy.path, '.quiesce')]);
  expect(await prepare({ ...here, volume: copy.path })).toContain(join(copy.path, 'pgdata'));
});
