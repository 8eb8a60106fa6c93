import { mkdir, readFile, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import {
  differencesOf,
  shownParameters,
} from '../../../src/engines/mongodb/metadata/copy-metadata.ts';
import { runCli } from '../../../src/testbed/processes.ts';
import {
  createRole,
  type Mongod,
  mongoEnv,
  ROLE,
  ROOT,
  startStandalone,
} from '../../support/mongod.ts';
import { makeTempDir } from '../../support/postgres.ts';
import { TestSidecar } from '../../support/sidecar.ts';

let dir: string;
let server: Mongod;
let sidecar: TestSidecar;

beforeAll(async () => {
  dir = await makeTempDir();
  server = await startStandalone(join(dir, 'data'));
  const admin = server.client({ auth: ROOT }).db('admin');
  await admin.command({
    createUser: 'clerk',
    pwd: 'hush-password',
    customData: { token: 'hush-custom' },
    roles: ['read'],
  });
  await mkdir(join(dir, 'q'));
  sidecar = await new TestSidecar(join(dir, 'q'), mongoEnv(server, server.dbPath)).start();
});
afterAll(async () => {
  await sidecar.stop();
  await server.stop();
  await rm(dir, { recursive: true, force: true });
});

async function frozenMetadata(id: string): Promise<{ text: string; shown: string }> {
  const frozen = await sidecar.cli('freeze', '--id', id);
  expect(frozen.code, frozen.stderr).toBe(0);
  const text = await readFile(join(server.dbPath, '.quiesce/metadata.json'), 'utf8');
  const shown = (await runCli(['metadata', '--data', server.dbPath], {})).stdout;
  expect((await sidecar.cli('thaw', '--id', id)).code).toBe(0);
  return { text, shown };
}

describe('the metadata in a copy', () => {
  it('has the databases, roles and settings; users are absent, with the reason', async () => {
    const { text, shown } = await frozenMetadata('least');
    expect(JSON.parse(text)).toMatchObject({
      engine: 'mongodb',
      absent: [{ part: 'users', reason: expect.stringContaining('viewUser') as string }],
      metadata: {
        architecture: 'x86_64',
        featureCompatibilityVersion: '6.0',
        roles: [{ role: 'quiesce', db: 'admin' }],
        parameters: { security: { authorization: 'enabled' } },
      },
    });
    expect(shown).toMatch(/^ {2}admin +\d+ KiB$/m);
    expect(shown).toMatch(/^ {2}security\.authorization +enabled$/m);
  });

  it('has no secret of a user either, where the users may be listed', async () => {
    const admin = server.client({ auth: ROOT }).db('admin');
    const role = await createRole(server.client({ auth: ROOT }), 'mongodb-users');
    await admin.command({ grantRolesToUser: ROLE.username, roles: [role] });
    const { text, shown } = await frozenMetadata('users');
    expect(shown).toMatch(/^ {2}clerk +admin +read@admin/m);
    expect(text).not.toMatch(/hush|storedKey|serverKey|salt/);
    expect(JSON.parse(text)).toMatchObject({ absent: [] });
  });
});

describe('settings', () => {
  it('travel if they are numbers, switches or known text; of others only the name', () => {
    const parsed = {
      net: { port: 1, tls: { mode: 'requireTLS', certificateKeyFile: '/hush/key.pem' } },
      security: { keyFile: '/hush/keyfile', authorization: 'enabled' },
      setParameter: { ttlMonitorEnabled: 'false', connectionUri: 'mongodb://u:hush@h' },
      storage: { dbPath: '/data', directoryPerDB: true },
      unknown: ['hush-list'],
    };
    const shown = shownParameters(parsed);
    expect(JSON.stringify(shown)).not.toContain('hush');
    expect(shown).toMatchObject({
      net: { port: 1, tls: { mode: 'requireTLS' } },
      security: { keyFile: '(set; its value does not travel)', authorization: 'enabled' },
      setParameter: { ttlMonitorEnabled: 'false' },
      storage: { dbPath: '/data', directoryPerDB: true },
    });
  });

  it('that differ, an older release and a missing role are told', () => {
    const was = {
      version: '7.0.2',
      roles: [{ role: 'app', db: 'admin' }],
      parameters: { storage: { engine: 'wiredTiger' }, net: { port: 1 } },
    };
    const is = { version: '6.0.5', roles: [], parameters: { net: { port: 2 } } };
    expect(differencesOf(was, is)).toEqual([
      {
        kind: 'version',
        what: 'server',
        was: '7.0.2',
        is: '6.0.5',
        fix: 'An older release may not read data that a newer one wrote: use an image of the old version.',
      },
      { kind: 'role', what: 'app@admin', was: 'there', is: null },
      { kind: 'setting', what: 'net.port', was: 1, is: 2 },
      { kind: 'setting', what: 'storage.engine', was: 'wiredTiger', is: '(default)' },
    ]);
    expect(differencesOf(null, is)).toEqual([]);
  });
});
