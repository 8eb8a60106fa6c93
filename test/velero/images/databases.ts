import { readFile, symlink, writeFile } from 'node:fs/promises';
import { dirname, join, relative } from 'node:path';
import { mongodBinary } from '../../support/mongod.ts';
import { ROOT } from '../layout.ts';
import { run } from '../run.ts';
import { baseName, PATHS } from './base.ts';
import { contentOf, identityOf } from './inputs.ts';
import { filesOf, type Recipe } from './recipe.ts';
import { makeImage, type Settings, withTree } from './store.ts';
import { putFolder, putProgram, putUser } from './tree.ts';

/** The user of all official images of databases. */
const UID = 999;
const POSTGRES = 'node_modules/pg17-linux-x64';
const ENTRYPOINT = ['docker-entrypoint.sh'];

/** PostgreSQL 17 of npm, laid out as the official image; psql is Debian's. */
export async function postgres(): Promise<Recipe> {
  const base = await baseName();
  const settings: Settings = {
    env: {
      PATH: `/usr/lib/postgresql/17/bin:${PATHS}`,
      PG_MAJOR: '17',
      PGDATA: '/var/lib/postgresql/data',
      LANG: 'C.UTF-8',
    },
    volume: '/var/lib/postgresql/data',
    port: 5432,
    stopSignal: 'SIGINT',
    entrypoint: ENTRYPOINT,
    cmd: ['postgres'],
  };
  return {
    name: 'postgres',
    inputs: [
      base,
      await filesOf('databases.ts', 'tree.ts', 'files/postgres.sh'),
      await contentOf(`${POSTGRES}/package.json`),
    ].join(),
    make: (to) =>
      withTree(async (tree) => {
        await putPostgres(tree);
        await makeImage(base, tree, settings, to);
      }),
  };
}

async function putPostgres(tree: string): Promise<void> {
  const [from, to] = [join(ROOT, POSTGRES, 'native'), join(tree, 'usr/lib/postgresql/17')];
  await putFolder(tree, 'usr/lib/postgresql/17');
  await run('cp', ['-r', ...['bin', 'lib', 'share'].map((name) => join(from, name)), to]);
  await run('chown', ['-R', '0:0', to]);
  await linkLibraries(join(from, 'pg-symlinks.json'), to);
  // Debian's commands are Perl scripts that look for its own clusters: probes run these often.
  for (const name of ['psql', 'pg_isready'])
    await symlink(`../../15/bin/${name}`, `${to}/bin/${name}`);
  const sample = join(to, 'share/postgresql/postgresql.conf.sample');
  const text = await readFile(sample, 'utf8');
  const asOfficial = text.replace(/^#?(listen_addresses)\b.*$/m, `$1 = '*'`);
  await writeFile(sample, asOfficial);
  await putUser(tree, { name: 'postgres', uid: UID, home: '/var/lib/postgresql' });
  await putFolder(tree, 'var/lib/postgresql', { owner: UID });
  await putFolder(tree, 'var/lib/postgresql/data', { owner: UID, mode: 0o1777 });
  // Debian's /var/run is a link to /run.
  await putFolder(tree, 'run/postgresql', { owner: UID, mode: 0o3777 });
  await putFolder(tree, 'docker-entrypoint-initdb.d');
  await putProgram(tree, 'usr/local/bin/docker-entrypoint.sh', 'postgres.sh');
}

/** npm packages contain no links; this one lists them. */
async function linkLibraries(list: string, to: string): Promise<void> {
  const links = JSON.parse(await readFile(list, 'utf8')) as { source: string; target: string }[];
  const inside = (path: string): string => join(to, path.replace(/^native\//, ''));
  for (const { source, target } of links) {
    await run('ln', ['-sfn', relative(dirname(inside(target)), inside(source)), inside(target)]);
  }
}

/** Debian's Redis 7. */
export async function redis(): Promise<Recipe> {
  const base = await baseName();
  const settings: Settings = {
    env: { PATH: PATHS },
    volume: '/data',
    workdir: '/data',
    port: 6379,
    entrypoint: ENTRYPOINT,
    cmd: ['redis-server'],
  };
  return {
    name: 'redis',
    inputs: [
      base,
      await filesOf('databases.ts', 'tree.ts', 'files/redis.sh', 'files/redis-server.sh'),
    ].join(),
    make: (to) =>
      withTree(async (tree) => {
        await putUser(tree, { name: 'redis', uid: UID, home: '/data' });
        await putFolder(tree, 'data', { owner: UID });
        await putProgram(tree, 'usr/local/bin/docker-entrypoint.sh', 'redis.sh');
        await putProgram(tree, 'usr/local/bin/redis-server', 'redis-server.sh');
        await makeImage(base, tree, settings, to);
      }),
  };
}

/** MongoDB 6.0. Its entrypoint speaks to the server through Python: there is no mongosh. */
export async function mongo(): Promise<Recipe> {
  const [base, mongod] = [await baseName(), await mongodBinary()];
  const settings: Settings = {
    env: { PATH: PATHS, HOME: '/data/db' },
    volume: '/data/db',
    port: 27017,
    entrypoint: ENTRYPOINT,
    cmd: ['mongod'],
  };
  return {
    name: 'mongo',
    inputs: [
      base,
      await filesOf('databases.ts', 'tree.ts', 'files/mongo.sh', 'files/mongo-admin.py'),
      await identityOf(mongod),
    ].join(),
    make: (to) =>
      withTree(async (tree) => {
        await putUser(tree, { name: 'mongodb', uid: UID, home: '/data/db' });
        await putFolder(tree, 'data/db', { owner: UID, mode: 0o1777 });
        await putFolder(tree, 'data/configdb', { owner: UID });
        await putFolder(tree, 'docker-entrypoint-initdb.d');
        await putProgram(tree, 'usr/bin/mongod', mongod);
        await putProgram(tree, 'usr/local/bin/docker-entrypoint.sh', 'mongo.sh');
        await putProgram(tree, 'usr/local/bin/mongo-admin', 'mongo-admin.py');
        await makeImage(base, tree, settings, to);
      }),
  };
}
