import { mkdir, readdir, rm, symlink, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { unmount } from '../../../src/testbed/volume/mounts.ts';
import { tool } from '../../../src/testbed/os.ts';
import {
  escapeName,
  findDataFolder,
  requireOneVolume,
} from '../../../src/engines/mongodb/data-dir/data-dir.ts';
import { ROOT, startStandalone } from '../../support/mongod.ts';
import { makeTempDir } from '../../support/postgres.ts';

const undo: (() => unknown)[] = [];
let dir: string;

beforeEach(async () => {
  dir = await makeTempDir();
  undo.push(() => rm(dir, { recursive: true, force: true }));
});
afterEach(async () => {
  for (const one of undo.splice(0).toReversed()) await one();
});

async function volume(name: string): Promise<void> {
  const path = join(dir, 'data', name);
  await mkdir(path, { recursive: true });
  await tool('mount', '-t', 'tmpfs', 'none', path);
  undo.push(() => unmount(path));
}

async function data(...folders: readonly string[]): Promise<void> {
  await mkdir(join(dir, 'data'));
  await mkdir(join(dir, 'elsewhere'));
  await writeFile(join(dir, 'data/WiredTiger'), 'x');
  for (const name of folders) await mkdir(join(dir, 'data', name), { recursive: true });
}

const look = async (perDatabase = false): Promise<void> => {
  const folder = await findDataFolder(join(dir, 'data'), '/data/db');
  const names = { perDatabase, databases: ['my-app', 'local'] };
  await requireOneVolume(folder, names, 'snapshot');
};

const link = (name: string): Promise<void> =>
  symlink(join(dir, 'elsewhere'), join(dir, 'data', name));

describe('a copy of the data directory', () => {
  it.each([
    ['the journal', 'journal', false],
    ['the keys of an encrypted server', 'key.db', false],
    ['a table', 'collection-0-1.wt', false],
    ['the folder of a database', 'local', true],
    ['the folder of a database with an odd name', 'my.45app', true],
    ['the tables of a database', 'local/collection', true],
  ])('would lack %s behind a link', async (_what, name, perDatabase) => {
    await data(...(name.includes('/') ? ['local'] : []));
    await link(name);
    await expect(look(perDatabase)).rejects.toMatchObject({ code: 'COPY_UNSUPPORTED' });
  });

  it.each([
    ['the journal', 'journal', false],
    ['the folder of a database', 'local', true],
  ])('would lack %s on a volume of its own', async (_what, name, perDatabase) => {
    await data();
    await volume(name);
    await expect(look(perDatabase)).rejects.toMatchObject({ code: 'COPY_UNSUPPORTED' });
  });

  it('lacks no data of the server when other programs keep links and volumes next to it', async () => {
    await data('journal', 'local/collection');
    for (const name of ['.snapshot', 'dumps', 'local/lost+found']) await volume(name);
    for (const name of ['old', 'dump.tar', 'other-app']) await link(name);
    await expect(look()).resolves.toBeUndefined();
    await expect(look(true)).resolves.toBeUndefined();
  });
});

it('the server gives the folder of a database the name that we expect', async () => {
  const dbPath = join(dir, 'db');
  const server = await startStandalone(dbPath, ['--directoryperdb']);
  undo.push(() => server.stop());
  const client = server.client({ auth: ROOT });
  for (const name of ['plain_1', 'my-app', 'Größe+']) {
    await client.db(name).collection('c').insertOne({});
    expect(await readdir(dbPath)).toContain(escapeName(name));
  }
});
