import { cp, mkdir, mkdtemp, readdir, rename, rm, symlink, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterEach, describe, expect, test } from 'vitest';
import { inspectServerLayout, type Layout } from '../../../src/engines/postgres/data-dir/layout.ts';
import { readMetadata } from '../../../src/engines/postgres/metadata/metadata.ts';
import { readServer } from '../../../src/engines/postgres/server.ts';
import { Session } from '../../../src/engines/postgres/connection/session.ts';
import { parseSettings } from '../../../src/engines/postgres/connection/settings.ts';
import {
  makeTempDir,
  startServer,
  type TestServer,
  type TestServerOptions,
} from '../../support/postgres.ts';

const never = new AbortController().signal;
const cleanups: (() => Promise<unknown>)[] = [];

afterEach(async () => {
  for (const cleanup of cleanups.splice(0).toReversed()) await cleanup();
});

async function start(options: Partial<TestServerOptions> = {}): Promise<TestServer> {
  const server = await startServer({ major: 17, ...options });
  cleanups.push(() => server.stop());
  return server;
}

async function inspect(
  it: TestServer,
  dataDir: string | undefined,
  reported?: string,
): Promise<Layout> {
  const session = await Session.open(parseSettings(it.roleEnv).settings, never);
  try {
    const server = await readServer(session, never);
    return await inspectServerLayout(
      session,
      { ...server, dataDirectory: reported ?? server.dataDirectory },
      dataDir,
      never,
    );
  } finally {
    await session.close();
  }
}

async function warnings(it: TestServer): Promise<{ code: string; message: string }[]> {
  const session = await Session.open(parseSettings(it.roleEnv).settings, never);
  try {
    const metadata = await readMetadata(session, never, { dataDir: it.dir });
    return metadata['warnings'] as { code: string; message: string }[];
  } finally {
    await session.close();
  }
}

/** A folder on another file system than /tmp, which `it` may write to. */
async function otherVolume(it?: TestServer['server']): Promise<string> {
  const dir = await mkdtemp('/dev/shm/q-');
  cleanups.unshift(() => rm(dir, { recursive: true, force: true }));
  await it?.own(dir);
  return dir;
}

describe('the location of the data', () => {
  test('is found at QUIESCE_DATA_DIR, below it, and without it', async () => {
    const it = await start({ dataFolder: 'data' });
    expect(await inspect(it, it.dir)).toEqual({
      pgdata: it.dataDir,
      relative: 'data',
      notes: [],
      outside: [],
    });
    expect(await inspect(it, it.dataDir)).toEqual({
      pgdata: it.dataDir,
      relative: '.',
      notes: [],
      outside: [],
    });
    expect(await inspect(it, undefined)).toEqual({
      pgdata: it.dataDir,
      relative: null,
      notes: [],
      outside: [],
    });
  });

  test('is found where the sidecar mounts the volume at another path than the server', async () => {
    const it = await start();
    const layout = await inspect(it, it.dir, '/var/lib/postgresql/data/pgdata');
    expect(layout).toMatchObject({ pgdata: it.dataDir, relative: 'data' });
    expect(layout.refusal).toBeUndefined();
  });

  test('a volume without PGDATA is a note, not an error', async () => {
    const it = await start();
    const empty = await makeTempDir();
    cleanups.push(() => rm(empty, { recursive: true }));
    const layout = await inspect(it, empty);
    expect(layout).toMatchObject({ pgdata: null, relative: null });
    expect(layout.refusal).toBeUndefined();
    expect(layout.notes.join(' ')).toMatch(/No PGDATA was found.*pg_wal/);
  });

  test("another server's volume is refused by both identifiers", async () => {
    const [it, other] = [await start(), await start({ role: false })];
    await expect(inspect(it, other.dir)).rejects.toMatchObject({
      code: 'ENGINE_DATA_MISMATCH',
      message: expect.stringMatching(/\d{15,}.*\d{15,}/) as string,
    });
  });

  test('an old copy next to the live data is not mistaken for it', async () => {
    const it = await start();
    await cp(it.dataDir, join(it.dir, 'aged'), { recursive: true });
    await rm(join(it.dir, 'aged', 'postmaster.pid'));
    expect(await inspect(it, it.dir, '/elsewhere')).toMatchObject({ relative: 'data' });
    await writeFile(join(it.dir, 'aged', 'postmaster.pid'), '');
    await expect(inspect(it, it.dir, '/elsewhere')).rejects.toMatchObject({
      code: 'ENGINE_DATA_MISMATCH',
    });
  });
});

describe('one volume or several', () => {
  test('pg_wal on another volume is refused', async () => {
    const it = await start({
      beforeStart: async (dataDir, server) => {
        const wal = await otherVolume(server);
        await moveOut(join(dataDir, 'pg_wal'), wal, server);
      },
    });
    const { refusal } = await inspect(it, it.dir);
    expect(refusal?.message).toMatch(/pg_wal .* is on another volume/);
    expect(refusal?.hint).toContain('one volume');
    const warned = (await warnings(it)).find(({ code }) => code === 'wal-outside');
    expect(warned?.message).toContain('/dev/shm/q-');
  });

  test('pg_wal linked to a folder of the same volume is accepted', async () => {
    const it = await start({
      beforeStart: async (dataDir, server) => {
        await moveOut(join(dataDir, 'pg_wal'), join(dataDir, '..', 'wal'), server);
      },
    });
    const layout = await inspect(it, it.dir);
    expect(layout.refusal).toBeUndefined();
    expect(layout.outside).toEqual([]);
    expect((await warnings(it)).map(({ code }) => code)).not.toContain('wal-outside');
  });

  test('data on the same device but outside the folder of the volume is noted', async () => {
    const elsewhere = await makeTempDir();
    cleanups.push(() => rm(elsewhere, { recursive: true }));
    const it = await start({
      beforeStart: async (dataDir, server) => {
        await server.own(elsewhere);
        await moveOut(join(dataDir, 'pg_wal'), join(elsewhere, 'wal'), server);
      },
    });
    const space = join(elsewhere, 'space');
    await mkdir(space);
    await it.server.own(space);
    await it.admin.query(`CREATE TABLESPACE beside LOCATION '${space}'`);
    const layout = await inspect(it, it.dir);
    expect(layout.refusal).toBeUndefined();
    expect(layout.outside).toEqual([
      expect.stringContaining(`pg_wal (${elsewhere}/wal) is outside`),
      expect.stringContaining('Tablespace beside'),
    ]);
    expect((await inspect(it, join(it.dir, '..'))).outside).toEqual([]);
  });

  test('a pg_wal without the running server’s WAL is refused', async () => {
    const it = await start();
    const seen = await makeTempDir();
    cleanups.push(() => rm(seen, { recursive: true }));
    await cp(it.dataDir, join(seen, 'data'), { recursive: true });
    for (const name of await readdir(join(seen, 'data', 'pg_wal')))
      await rm(join(seen, 'data', 'pg_wal', name), { recursive: true });
    const { refusal } = await inspect(it, seen, '/var/lib/data');
    expect(refusal?.message).toContain('another volume mounted there');
  });

  test('a tablespace on another volume is refused, one on the same volume is accepted', async () => {
    const it = await start();
    const near = join(it.dir, 'near');
    await mkdir(near);
    await it.server.own(near);
    await it.admin.query(`CREATE TABLESPACE near LOCATION '${near}'`);
    expect((await inspect(it, it.dir)).refusal).toBeUndefined();
    const far = await otherVolume(it.server);
    await it.admin.query(`CREATE TABLESPACE far LOCATION '${far}'`);
    expect((await inspect(it, it.dir)).refusal?.message).toMatch(
      /Tablespace far .* is on another volume/,
    );
  });

  test('a tablespace that the sidecar cannot see is refused', async () => {
    const it = await start();
    const place = join(it.dir, 'ts');
    await mkdir(place);
    await it.server.own(place);
    await it.admin.query(`CREATE TABLESPACE away LOCATION '${place}'`);
    await rename(place, `${place}-hidden`);
    expect((await inspect(it, it.dir)).refusal?.message).toMatch(
      /Tablespace away .* cannot be seen/,
    );
    const empty = await makeTempDir();
    cleanups.push(() => rm(empty, { recursive: true }));
    expect((await inspect(it, empty)).refusal?.message).toMatch(
      /Tablespace away .* outside PGDATA/,
    );
    await rename(`${place}-hidden`, place);
  });

  test('an in-place tablespace is accepted', async () => {
    const it = await start({ settings: { allow_in_place_tablespaces: 'on' } });
    await it.admin.query(`CREATE TABLESPACE inside LOCATION ''`);
    expect((await inspect(it, it.dir)).refusal).toBeUndefined();
  });

  test('a folder of PGDATA on another volume than QUIESCE_DATA_DIR is refused', async () => {
    const it = await start();
    const far = await otherVolume(it.server);
    const { server } = it;
    await server.stop();
    await moveOut(join(it.dataDir, 'pg_multixact'), join(far, 'pg_multixact'), server);
    await server.start();
    expect((await inspect(it, it.dir)).refusal?.message).toMatch(
      /pg_multixact is on another volume/,
    );
  });

  test('logs, configuration and temporary statistics on another volume cause a note', async () => {
    const it = await start();
    for (const name of ['log', 'conf.d', 'pg_stat_tmp']) {
      const far = await otherVolume(it.server);
      await rm(join(it.dataDir, name), { recursive: true, force: true });
      await symlink(far, join(it.dataDir, name));
    }
    const layout = await inspect(it, it.dir);
    expect(layout.refusal).toBeUndefined();
    for (const name of ['log', 'conf.d', 'pg_stat_tmp']) {
      expect(layout.notes.join(' ')).toContain(`${join(it.dataDir, name)} is on another volume`);
    }
  });

  test('a single file on another volume causes a note', async () => {
    const it = await start();
    const far = await otherVolume();
    await writeFile(join(far, 'custom.conf'), '');
    await symlink(join(far, 'custom.conf'), join(it.dataDir, 'custom.conf'));
    const layout = await inspect(it, it.dir);
    expect(layout.refusal).toBeUndefined();
    expect(layout.notes.join(' ')).toContain('custom.conf');
  });
});

async function moveOut(from: string, to: string, server: TestServer['server']): Promise<void> {
  await cp(from, to, { recursive: true });
  for (const name of await readdir(to, { recursive: true })) await server.own(join(to, name));
  await server.own(to);
  await rm(from, { recursive: true });
  await symlink(to, from);
}
