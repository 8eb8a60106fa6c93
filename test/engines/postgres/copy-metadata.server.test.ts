import { chmod, cp, mkdir, mkdtemp, readFile, rm, stat, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { Difference } from '../../../src/engines/engine.ts';
import { EmbeddedPostgres, freePort } from '../../../src/testbed/postgres/server.ts';
import { runCli } from '../../../src/testbed/processes.ts';
import { startServer, type TestServer } from '../../support/postgres.ts';
import { TestSidecar } from '../../support/sidecar.ts';

/* One server with a secret wherever PostgreSQL keeps one; its copy is restored under another server. */
const SECRET = /hush|SCRAM-SHA|md5[0-9a-f]{32}|radiusserv.*=|%p/;

let server: TestServer;
let sidecar: TestSidecar;
let document: string;
let copyText: string;
const restored: { stop: () => Promise<void> }[] = [];

beforeAll(async () => {
  server = await startServer({
    major: 17,
    initdbArgs: ['--locale-provider=icu', '--icu-locale=en-US'],
    settings: {
      work_mem: '7MB',
      shared_preload_libraries: 'pg_stat_statements',
      cluster_name: 'shop',
      ssl_passphrase_command: 'echo hush-passphrase',
      restore_command: 'cp hush-restore %p',
      recovery_end_command: '/bin/true hush-end',
      archive_cleanup_command: '/bin/true hush-cleanup',
    },
    hba: ['host all clerk 10.0.0.0/8 radius radiusservers="127.0.0.1" radiussecrets="hush-radius"'],
  });
  for (const statement of PLANTED) await server.admin.query(statement);
  const shop = await server.connect('shop');
  await shop.query('CREATE EXTENSION pg_stat_statements');
  await shop.query('CREATE EXTENSION cube');
  await shop.query(`CREATE COLLATION german (provider = icu, locale = 'de')`);
  await shop.query('CREATE EXTENSION postgres_fdw');
  await shop.query(`CREATE SERVER far FOREIGN DATA WRAPPER postgres_fdw OPTIONS (host 'h')`);
  await shop.query(
    `CREATE USER MAPPING FOR clerk SERVER far OPTIONS (user 'u', password 'hush-mapping')`,
  );
  await shop.query(
    `CREATE SUBSCRIPTION s CONNECTION 'host=127.0.0.1 port=1 password=hush-subscription' PUBLICATION p WITH (connect = false)`,
  );
  await shop.query(`COMMENT ON DATABASE shop IS 'hush-comment'`);
  await mkdir(join(server.dir, 'q'));
  const env = { ...server.roleEnv, QUIESCE_DATA_DIR: server.dataDir };
  sidecar = await new TestSidecar(join(server.dir, 'q'), env).start();
});
afterAll(async () => {
  for (const one of restored) await one.stop();
  await sidecar.stop();
  await server.stop();
});

const PLANTED = [
  `CREATE ROLE clerk LOGIN PASSWORD 'hush-role'`,
  `COMMENT ON ROLE clerk IS 'hush-comment'`,
  'CREATE ROLE accounting',
  'GRANT accounting TO clerk WITH ADMIN OPTION',
  'CREATE DATABASE shop',
  `ALTER SYSTEM SET primary_conninfo = 'host=x user=y password=hush-conninfo'`,
  `ALTER SYSTEM SET archive_command = 'PGPASSWORD=hush-archive /bin/true %p'`,
  `ALTER SYSTEM SET ssl_key_file = '/keys/hush-key'`,
  `ALTER SYSTEM SET "app.token" = 'hush-setting'`,
  `ALTER ROLE clerk SET "app.jwt" = 'hush-jwt'`,
  `UPDATE pg_database SET datcollversion = '2.31.old' WHERE datname = 'shop'`,
  `SELECT pg_create_physical_replication_slot('spare', true)`,
  'SELECT pg_reload_conf()',
];

const metadataPath = (dataDir: string): string => join(dataDir, '.quiesce/metadata.json');

describe('the metadata in a copy', () => {
  it('is on the volume during a freeze, for the owner of the data only, and gone after the thaw', async () => {
    const frozen = await sidecar.cli('freeze', '--id', 'meta', '-o', 'json');
    expect(frozen.code, frozen.stderr).toBe(0);
    expect((JSON.parse(frozen.stdout) as { notes: string[] }).notes).toEqual([]);
    const [file, data] = await Promise.all([
      stat(metadataPath(server.dataDir)),
      stat(server.dataDir),
    ]);
    expect(file.mode & 0o777).toBe(0o600);
    expect([file.uid, file.gid]).toEqual([data.uid, data.gid]);
    expect(file.size).toBeLessThan(1 << 20);
    document = await readFile(metadataPath(server.dataDir), 'utf8');
    copyText = (await runCli(['metadata', '--data', server.dataDir], {})).stdout;
    await makeCopy();
    const thawed = await sidecar.cli('thaw', '--id', 'meta');
    expect(thawed.code, thawed.stderr).toBe(0);
    await expect(stat(metadataPath(server.dataDir))).rejects.toMatchObject({ code: 'ENOENT' });
  });

  it('has what an operator needs, and says which parts are not there', () => {
    const { absent, truncated, engine, id, metadata } = JSON.parse(document) as Document;
    expect({ absent, truncated, engine, id }).toEqual({
      absent: [],
      truncated: [],
      engine: 'postgres',
      id: 'meta',
    });
    expect(metadata.server).toMatchObject({ major: 17, role: 'primary', architecture: 'x86_64' });
    expect(metadata.databases).toContainEqual(
      expect.objectContaining({
        name: 'shop',
        sizeBytes: expect.any(Number) as number,
        collationVersion: '2.31.old',
      }),
    );
    expect(metadata.roles).toContainEqual(
      expect.objectContaining({
        name: 'clerk',
        memberOf: [{ role: 'accounting', grantor: 'postgres', admin: true }],
      }),
    );
    expect(metadata.extensions.installed).toContainEqual(
      expect.objectContaining({ database: 'shop', name: 'cube', version: '1.5' }),
    );
    expect(metadata.collations).toContainEqual(
      expect.objectContaining({ database: 'shop', name: 'german', provider: 'icu' }),
    );
    expect(metadata.libraries).toMatchObject({ preloaded: ['pg_stat_statements'] });
    expect(metadata.replication.slots).toMatchObject([{ name: 'spare', type: 'physical' }]);
    expect(metadata.hba[0]).toMatchObject({
      address: '10.0.0.0/8',
      method: 'radius',
      options: ['radiusservers', 'radiussecrets'],
    });
    const setting = (name: string): unknown => metadata.settings.find((one) => one.name === name);
    expect(setting('work_mem')).toMatchObject({ value: '7168', source: 'command line' });
    expect(setting('archive_command')).toMatchObject({ value: null, withheld: true });
    expect(setting('primary_conninfo')).toMatchObject({ value: null, withheld: true });
  });

  it('contains no secret, wherever the server has one', async () => {
    expect(document).not.toMatch(SECRET);
    const live = await sidecar.cli('metadata', '--all');
    expect(live.stdout).toContain('spare');
    expect(live.stdout.replace('/keys/hush-key', '')).not.toMatch(/hush/);
  });

  it('is printed as tables, in which sizes are readable and the roles of the server are left out', async () => {
    const wide = await runCli(['metadata', '--data', copyOf(), '--all'], {});
    expect(wide.stdout).toMatch(/^ {2}pg_monitor /m);
    expect(copyText).not.toMatch(/^ {2}pg_monitor /m);
    expect(copyText).toMatch(/roles \(4; 1\d of the server's own are left out, --all shows them\)/);
    expect(copyText).toMatch(/^ {2}clerk +accounting \(admin\) +login$/m);
    expect(copyText).toMatch(/^ {2}work_mem +7 MiB +command line$/m);
    expect(copyText).toMatch(/^ {2}shop +7\.\d MiB +2\.31\.old +153\.80 /m);
    expect(copyText).toMatch(/^ {2}1 +host +all +clerk +10\.0\.0\.0\/8 +radius +radiusservers,/m);
    const widths = copyText.split('\n').map((line) => line.length);
    expect(Math.max(...widths)).toBeLessThanOrEqual(100);
    const live = (await sidecar.cli('metadata')).stdout;
    for (const part of ['roles', 'tablespaces', 'hba']) {
      expect(partOf(live, part)).toEqual(partOf(copyText, part));
    }
  });

  it('lacks what the role may not read, with the reason, and keeps the rest', async () => {
    await server.admin.query('REVOKE pg_monitor FROM quiesce');
    await server.admin.query('REVOKE EXECUTE ON FUNCTION pg_hba_file_rules() FROM quiesce');
    await server.admin.query('REVOKE CONNECT ON DATABASE shop FROM PUBLIC');
    try {
      expect((await sidecar.cli('freeze', '--id', 'weak')).code).toBe(0);
      const text = await readFile(metadataPath(server.dataDir), 'utf8');
      const { absent, metadata } = JSON.parse(text) as Document;
      const reasons = absent.map(({ part, reason }) => `${part}: ${reason}`).join('\n');
      expect(reasons).toMatch(/hba: .*GRANT EXECUTE ON FUNCTION pg_catalog.pg_hba_file_rules\(\)/);
      expect(reasons).toMatch(/settings that only .*GRANT pg_monitor TO quiesce/);
      expect(reasons).toMatch(/extensions and collations of database shop: /);
      expect(metadata.roles.map(({ name }) => name)).toContain('clerk');
      expect(metadata.databases.map(({ name }) => name)).toContain('shop');
      expect(Object.keys(metadata)).not.toContain('hba');
    } finally {
      await sidecar.cli('thaw', '--id', 'weak');
      await server.admin.query('GRANT pg_monitor TO quiesce');
      await server.admin.query('GRANT CONNECT ON DATABASE shop TO PUBLIC');
    }
  });
});

describe('a restored copy', () => {
  it('of another architecture is refused before the start; a dry run says so and goes on', async () => {
    const foreign = join(server.dir, 'foreign');
    await cp(copyOf(), foreign, { recursive: true, preserveTimestamps: true });
    const path = metadataPath(foreign);
    const changed = document.replace(
      '"architecture": "x86_64",\n "metadata"',
      '"architecture": "aarch64",\n "metadata"',
    );
    expect(changed).not.toBe(document);
    await writeFile(path, changed);
    const refused = await runCli(['prepare-restore', '--data', foreign], {});
    expect(refused.code).toBe(7);
    expect(refused.stderr).toMatch(
      /RESTORE_ARCHITECTURE: .*made on aarch64, and this machine is x86_64/,
    );
    const dry = await runCli(['prepare-restore', '--data', foreign, '--dry-run'], {});
    expect(dry, dry.stderr).toMatchObject({ code: 0 });
    expect(dry.stdout).toMatch(/made on aarch64/);
    await rm(foreign, { recursive: true });
  });

  it('waits, and says that a restored database has its old password', async () => {
    const { copy, port } = await startCopy();
    const other = { ...server.roleEnv, PGPORT: String(port), PGPASSWORD: 'changed-since' };
    const verifier = await sidecarFor(copy, other, 'live');
    await expect
      .poll(async () => (await verifier.status()).restore?.message, { timeout: 15_000 })
      .toMatch(
        /The database refuses the login\. A restored database has the passwords of the time of its backup \(20\d\d-/,
      );
    expect((await verifier.status()).restore?.verified).toBeNull();
    expect(verifier.output).toMatch(/The database refuses the login/);
    expect(verifier.output).not.toContain('changed-since');
    await verifier.stop();
  });

  it('says in status and verify in what its server differs, with the statement that mends it', async () => {
    const { copy, port } = await startCopy();
    const env = { ...server.roleEnv, PGPORT: String(port) };
    const verifier = await sidecarFor(copy, env, 'ready');
    await expect
      .poll(async () => (await verifier.status()).restore?.verified, { timeout: 15_000 })
      .toBe(true);
    const { restore } = await verifier.status();
    expectDifferences(restore?.differences ?? []);
    const receipt = join(server.dir, 'receipt.json');
    await writeFile(
      receipt,
      JSON.stringify((await verifier.api('GET', '/v1/receipts')).body.restored),
    );
    const verified = await verifier.cli('verify', receipt, '-o', 'json');
    expect(verified.code, verified.stderr).toBe(0);
    expectDifferences((JSON.parse(verified.stdout) as { differences: Difference[] }).differences);
    expect((await verifier.cli('verify', receipt)).stdout).toMatch(
      /differs: setting work_mem: was 7168 kB, is 2048 kB/,
    );
    expect((await verifier.cli('status')).stdout).toMatch(
      /differs: extension cube_of_another_image in database shop: was 1\.5, is missing\. This image lacks/,
    );
    const kept = await runCli(['metadata', '--data', copy], {});
    expect(kept.stdout).toContain('freeze meta,');
    const [name] = [`restored-meta+metadata.json`];
    expect((await stat(join(copy, '.quiesce', name))).mode & 0o777).toBe(0o600);
    await verifier.stop();
  });
});

interface Document {
  readonly absent: { part: string; reason: string }[];
  readonly truncated: string[];
  readonly engine: string;
  readonly id: string;
  readonly metadata: {
    readonly server: object;
    readonly libraries: object;
    readonly databases: { name: string }[];
    readonly roles: { name: string }[];
    readonly settings: { name: string }[];
    readonly hba: object[];
    readonly extensions: { installed: object[] };
    readonly collations: object[];
    readonly replication: { slots: object[] };
  };
}

/** As if this image lacked `cube`, the role had been dropped and another setting were in force. */
function expectDifferences(found: readonly Difference[]): void {
  const by = (kind: string, what: string): Difference | undefined =>
    found.find((one) => one.kind === kind && one.what === what);
  expect(by('extension', 'cube_of_another_image in database shop')).toMatchObject({
    was: '1.5',
    is: null,
  });
  expect(by('setting', 'work_mem')).toMatchObject({ was: '7168 kB', is: '2048 kB' });
  expect(by('role', 'accounting')).toMatchObject({ is: null, fix: 'CREATE ROLE "accounting";' });
  expect(by('library', 'pg_stat_statements')).toMatchObject({ was: 'preloaded', is: null });
  expect(by('collation-version', 'database shop')).toEqual({
    kind: 'collation-version',
    what: 'database shop',
    was: '2.31.old',
    is: expect.stringMatching(/^\d+\.\d+/) as string,
    fix: 'In shop: REINDEX DATABASE "shop"; ALTER DATABASE "shop" REFRESH COLLATION VERSION;',
  });
}

const partOf = (text: string, name: string): string | undefined =>
  text.split('\n\n').find((part) => part.startsWith(`${name} (`));

const copyOf = (): string => join(server.dir, 'copy');

/** A block copy would do the same: the freeze is sealed, and nobody writes. */
async function makeCopy(): Promise<void> {
  await rm(copyOf(), { recursive: true, force: true });
  await cp(server.dataDir, copyOf(), { recursive: true, preserveTimestamps: true });
  await rm(join(copyOf(), 'postmaster.pid'), { force: true });
  const prepared = await runCli(['prepare-restore', '--data', copyOf(), '--dry-run'], {});
  expect(prepared.code, prepared.stderr).toBe(0);
}

/** Restores the copy to a folder of its own, and starts a server with other settings there. */
async function startCopy(): Promise<{ copy: string; port: number }> {
  const home = await mkdtemp(join(server.dir, 'r'));
  await chmod(home, 0o755);
  const copy = join(home, 'data');
  await cp(copyOf(), copy, { recursive: true, preserveTimestamps: true });
  const prepared = await runCli(['prepare-restore', '--data', copy], {});
  expect(prepared.code, prepared.stderr).toBe(0);
  const port = await freePort();
  const image = await EmbeddedPostgres.at({
    major: 17,
    dataDir: copy,
    port,
    socketDir: join(home, 's'),
    settings: { fsync: 'off', work_mem: '2MB', archive_mode: 'off' },
  });
  const { readdir } = await import('node:fs/promises');
  await image.own(copy);
  for (const name of await readdir(copy, { recursive: true })) await image.own(join(copy, name));
  await chmod(copy, 0o700);
  await image.start();
  restored.push({ stop: () => image.stop('immediate') });
  const { Client } = await import('pg');
  const client = new Client(image.superuser('shop'));
  await client.connect();
  await client.query(
    `UPDATE pg_extension SET extname = 'cube_of_another_image' WHERE extname = 'cube'`,
  );
  await client.query('DROP ROLE accounting');
  await client.end();
  return { copy, port };
}

async function sidecarFor(
  copy: string,
  env: Record<string, string>,
  until: 'live' | 'ready',
): Promise<TestSidecar> {
  const dir = join(server.dir, `v${Math.random().toString(36).slice(2)}`);
  await mkdir(dir);
  return await new TestSidecar(dir, { ...env, QUIESCE_DATA_DIR: copy }).start(until);
}
