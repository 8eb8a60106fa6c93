import { chmod, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import type { ReadConfigOptions } from '../src/config/config.ts';
import { readConfig } from '../src/config/config.ts';
import type { QuiesceError } from '../src/errors.ts';

let dir: string;
beforeEach(async () => {
  dir = await mkdtemp(join(tmpdir(), 'quiesce-config-'));
});
afterEach(() => rm(dir, { recursive: true, force: true }));

const read = (env: Record<string, string>, more: Partial<ReadConfigOptions> = {}) =>
  readConfig({
    env: { QUIESCE_ENGINE: 'postgres', ...env },
    engines: ['postgres', 'redis'],
    ...more,
  });

async function refusal(env: Record<string, string>, more?: Partial<ReadConfigOptions>) {
  const error = await read(env, more).then(
    () => undefined,
    (error: unknown) => error as QuiesceError,
  );
  expect(error?.code).toBe('CONFIG_INVALID');
  expect(error?.exit).toBe(2);
  return error as QuiesceError;
}

async function file(name: string, content: string): Promise<string> {
  const path = join(dir, name);
  await writeFile(path, content);
  return path;
}

describe('references of a pod to optional keys', () => {
  it('count as unset if Kubernetes could not resolve them', async () => {
    const { settings } = await read({ PGPASSWORD: '$(POSTGRES_PASSWORD)', PGHOST: 'db' });
    expect(settings).not.toHaveProperty('PGPASSWORD');
    expect(settings['PGHOST']).toBe('db');
  });

  it('use NAME_DEFAULT if neither NAME nor NAME_FILE is set, and only then', async () => {
    const user = async (env: Record<string, string>) =>
      (await read({ PGUSER_DEFAULT: 'postgres', ...env })).settings;
    expect((await user({}))['PGUSER']).toBe('postgres');
    expect((await user({ PGUSER: '$(POSTGRES_USER)' }))['PGUSER']).toBe('postgres');
    expect((await user({ PGUSER: 'app' }))['PGUSER']).toBe('app');
    expect((await user({ PGUSER_FILE: await file('user', 'filed\n') }))['PGUSER']).toBe('filed');
    expect(await user({})).not.toHaveProperty('PGUSER_DEFAULT');
  });

  it('exist only for keys of engines', async () => {
    const error = await refusal({ QUIESCE_COPY_DEFAULT: 'files' });
    expect(error.message).toContain('QUIESCE_COPY_DEFAULT');
    expect((await refusal({ QUIESCE_DATA_DIR: '$(X)' })).message).toContain('QUIESCE_DATA_DIR');
  });
});

describe('readConfig', () => {
  it('requires only the engine, and has a default for the rest', async () => {
    const config = await read({ PGHOST: 'db', PATH: '/bin' });
    expect(config).toMatchObject({
      engine: 'postgres',
      dataDir: undefined,
      stateDir: '/var/lib/quiesce',
      socket: '/run/quiesce/control.sock',
      controlAddr: { host: '127.0.0.1', port: 8095 },
      metricsAddr: { host: '0.0.0.0', port: 9095 },
      copy: 'snapshot',
      replica: 'run',
      ttlMs: undefined,
      ttlMaxMs: 3_600_000,
      freezeTimeoutMs: 25_000,
      controlToken: undefined,
      logLevel: 'info',
    });
    expect(config.settings['PGHOST']).toBe('db');
  });

  it('reads every key', async () => {
    const config = await read({
      QUIESCE_DATA_DIR: '/data',
      QUIESCE_STATE_DIR: '/state',
      QUIESCE_SOCKET: '/tmp/s',
      QUIESCE_CONTROL_ADDR: 'off',
      QUIESCE_METRICS_ADDR: '[::]:1',
      QUIESCE_COPY: 'volumes',
      QUIESCE_REPLICA: 'pause',
      QUIESCE_TTL: '90s',
      QUIESCE_TTL_MAX: '90s',
      QUIESCE_FREEZE_TIMEOUT: '500ms',
      QUIESCE_CONTROL_TOKEN: 't0ken',
      QUIESCE_APP: 'shop',
      QUIESCE_LOG_LEVEL: 'debug',
    });
    expect(config).toMatchObject({
      dataDir: '/data',
      replica: 'pause',
      controlAddr: null,
      metricsAddr: { host: '::', port: 1 },
      ttlMs: 90_000,
      controlToken: 't0ken',
      app: 'shop',
    });
  });

  it('tells a pod that no restore made from one of which nobody said anything', async () => {
    const mark = async (env: Record<string, string>) => (await read(env)).restoreMark;
    expect(await mark({})).toBeUndefined();
    // The downward API gives an empty value for a label that the pod lacks.
    expect(await mark({ QUIESCE_RESTORE_MARK: '' })).toBeNull();
    expect(await mark({ QUIESCE_RESTORE_MARK: ',' })).toBeNull();
    expect(await mark({ QUIESCE_RESTORE_MARK: 'monday,' })).toBe('monday');
    await refusal({ QUIESCE_RESTORE_MARK: 'two words' });
  });

  it('reports all problems at once, without any secret', async () => {
    const error = await refusal({
      QUIESCE_ENGINE: 'oracle',
      QUIESCE_TTL: '10',
      QUIESCE_TTL_MAX: '-1h',
      QUIESCE_COPY: 'rsync',
      QUIESCE_REPLICA: 'stop',
      QUIESCE_DATA_DIR: 'data',
      QUIESCE_CONTROL_TOKEN: 'hun ter2',
      QUIESCE_FREZE_TIMEOUT: '1s',
      QUIESCE_WHATEVER: '1',
      QUIESCE_LOG_LEVEL: '',
    });
    for (const name of [
      'ENGINE',
      'TTL',
      'TTL_MAX',
      'COPY',
      'REPLICA',
      'DATA_DIR',
      'CONTROL_TOKEN',
      'FREZE_TIMEOUT',
      'WHATEVER',
      'LOG_LEVEL',
    ]) {
      expect(error.message).toContain(`QUIESCE_${name}: `);
    }
    expect(error.message).toContain('did you mean QUIESCE_FREEZE_TIMEOUT?');
    expect(error.message).toContain('10 problems');
    expect(error.message).not.toContain('ter2');
    expect(error.field).toMatch(/^QUIESCE_/);
  });

  it.each([
    ['QUIESCE_RESTORE_MARK', ''],
    ['QUIESCE_RESTORE_SCAN', 'full'],
  ])('accepts %s=%j, which the containers of a pod may share', async (name, value) => {
    await expect(read({ [name]: value })).resolves.toMatchObject({ engine: 'postgres' });
  });

  it.each([
    ['QUIESCE_TTL', '0s'],
    ['QUIESCE_TTL', '2h'],
    ['QUIESCE_TTL_MAX', '25h'],
    ['QUIESCE_TTL_MAX', '1m30s'],
    ['QUIESCE_FREEZE_TIMEOUT', 'soon'],
    ['QUIESCE_SOCKET', 'control.sock'],
    ['QUIESCE_SOCKET', `/${'x'.repeat(107)}`],
    ['QUIESCE_CONTROL_ADDR', '8095'],
    ['QUIESCE_CONTROL_ADDR', '127.0.0.1:65536'],
    ['QUIESCE_CONTROL_ADDR', '0.0.0.0:8095'],
    ['QUIESCE_CONTROL_ADDR', '127.0.0.1.example:8095'],
    ['QUIESCE_METRICS_ADDR', '127.0.0.1:8095'],
    ['QUIESCE_METRICS_ADDR', 'OFF'],
    ['QUIESCE_CONTROL_TOKEN', ''],
    ['QUIESCE_PORT', '8080'],
    ['QUIESCE_ENGINE', ''],
    ['QUIESCE_APP', 'a\nb'],
  ])('refuses %s=%s', async (name, value) => {
    const error = await refusal({ [name]: value });
    expect(error.message).toContain(`${name}: `);
    expect(error.message).toContain('one problem');
    expect(error.field).toBe(name);
  });

  it('lists the engines if none is set', async () => {
    const error = await readConfig({ env: {}, engines: ['postgres', 'redis'] }).catch(
      (e: unknown) => e,
    );
    expect((error as Error).message).toContain(
      'QUIESCE_ENGINE: is required: one of postgres, redis',
    );
  });

  it('refuses a journal on the data volume', async () => {
    const error = await refusal({
      QUIESCE_DATA_DIR: '/data',
      QUIESCE_STATE_DIR: '/data/../data/q',
    });
    expect(error.field).toBe('QUIESCE_STATE_DIR');
    await read({ QUIESCE_DATA_DIR: '/data', QUIESCE_STATE_DIR: '/data-state' });
  });

  it('ignores the variables of a Kubernetes Service called quiesce', async () => {
    const beside = await read({
      QUIESCE_SERVICE_HOST: '10.0.0.1',
      QUIESCE_SERVICE_PORT: '443',
      QUIESCE_SERVICE_PORT_HTTPS: '443',
      QUIESCE_PORT: 'tcp://10.0.0.1:443',
      QUIESCE_PORT_443_TCP: 'tcp://10.0.0.1:443',
      QUIESCE_PORT_443_TCP_PROTO: 'tcp',
      QUIESCE_WEBHOOK_SERVICE_HOST: '10.0.0.2',
      QUIESCE_WEBHOOK_PORT: 'tcp://10.0.0.2:443',
    });
    expect(beside).toEqual(await read({}));
  });
});

describe('NAME_FILE', () => {
  it('is read for quiesce’s keys and the engine’s, without the last line break', async () => {
    const config = await read({
      QUIESCE_CONTROL_TOKEN_FILE: await file('token', 't0ken\n'),
      QUIESCE_TTL_FILE: await file('ttl', '30s'),
      PGPASSWORD_FILE: await file('pw', ' pass word \r\n'),
      PGPASSFILE: '/home/me/.pgpass',
      PGSERVICEFILE: '/nowhere',
      SSL_CERT_FILE: '/nowhere/ca.pem',
    });
    expect(config.controlToken).toBe('t0ken');
    expect(config.ttlMs).toBe(30_000);
    expect(config.settings).toMatchObject({
      PGPASSWORD: ' pass word ',
      PGPASSFILE: '/home/me/.pgpass',
      PGSERVICEFILE: '/nowhere',
      SSL_CERT_FILE: '/nowhere/ca.pem',
    });
    expect(config.settings['PGPASSWORD_FILE']).toBeUndefined();
  });

  it('is read if NAME is empty, which counts as unset', async () => {
    const config = await read({ PGPASSWORD: '', PGPASSWORD_FILE: await file('pw', 'a1b2c3\n') });
    expect(config.settings['PGPASSWORD']).toBe('a1b2c3');
  });

  it('is refused if NAME is set, too, or if the file cannot be read or is empty', async () => {
    const error = await refusal({
      PGPASSWORD: 'x1y2z3',
      PGPASSWORD_FILE: await file('pw', 'a1b2c3'),
      QUIESCE_CONTROL_TOKEN_FILE: join(dir, 'none'),
      QUIESCE_ENGINE_FILE: dir,
      QUIESCE_TTL_FILE: await file('empty', '\n'),
    });
    expect(error.message).toContain('PGPASSWORD_FILE: is set as well as PGPASSWORD');
    expect(error.message).toMatch(/QUIESCE_CONTROL_TOKEN_FILE: .*ENOENT/);
    expect(error.message).toContain('QUIESCE_ENGINE_FILE: ');
    expect(error.message).toContain('QUIESCE_TTL_FILE: names an empty file');
    expect(error.message).not.toMatch(/x1y2z3|a1b2c3/);
    expect(error.message).toContain('4 problems');
  });

  it('never shows what a secret file contains', async () => {
    const error = await refusal({ QUIESCE_CONTROL_TOKEN_FILE: await file('t', 'two words') });
    expect(error.message).not.toContain('words');
  });
});

describe('--config', () => {
  it('reads KEY=VALUE lines, which the environment overrides in either form', async () => {
    const path = await file(
      'env',
      [
        '# comment',
        '',
        'QUIESCE_TTL=20s',
        "export QUIESCE_APP='my app'",
        'PGHOST="db # 1"',
        'PGUSER=me # who',
        'QUIESCE_COPY=files',
        'PGPASSWORD=fromfile',
      ].join('\n'),
    );
    const config = await read(
      { QUIESCE_COPY: 'volumes', PGPASSWORD_FILE: await file('pw', 'fromenv') },
      { file: path },
    );
    expect(config).toMatchObject({ ttlMs: 20_000, app: 'my app', copy: 'volumes' });
    expect(config.settings).toMatchObject({
      PGHOST: 'db # 1',
      PGUSER: 'me',
      PGPASSWORD: 'fromenv',
    });
  });

  it('reads a JSON object', async () => {
    const path = await file('c.json', '{"QUIESCE_TTL": "20s", "PGPORT": 5433}');
    const config = await read({}, { file: path });
    expect(config.ttlMs).toBe(20_000);
    expect(config.settings['PGPORT']).toBe('5433');
  });

  it('reports unknown keys, malformed lines and duplicates', async () => {
    const path = await file(
      'env',
      'FOO=1\nQUIESCE_TLL=1s\nnonsense\nPGHOST=a\nPGHOST=b\nPGUSER="x\n',
    );
    const error = await refusal({}, { file: path });
    for (const part of [
      'FOO: unknown key',
      'QUIESCE_TLL: unknown key',
      'line 3',
      'PGHOST: is given twice',
      'line 6',
    ]) {
      expect(error.message).toContain(part);
    }
  });

  it('lets the engine check its own keys', async () => {
    const path = await file('env', 'PGHOST=a\nPGHSOT=b\n');
    const error = await refusal(
      { QUIESCE_TTL: '1' },
      {
        file: path,
        engineKeys: () => ['PGHOST'],
        engineIssues: (_engine, settings) => [
          { name: 'PGHOST', message: `is ${settings['PGHOST']}` },
        ],
      },
    );
    for (const part of ['PGHSOT: unknown key', 'PGHOST: is a', 'QUIESCE_TTL: ']) {
      expect(error.message).toContain(part);
    }
  });

  it.each([
    ['{"QUIESCE_TTL": ', /not valid JSON/],
    ['{"QUIESCE_APP": {"a":1}}', /QUIESCE_APP: must be text/],
  ])('refuses %s', async (content, message) => {
    expect((await refusal({}, { file: await file('c', content) })).message).toMatch(message);
  });

  it('refuses a file that cannot be read', async () => {
    expect((await refusal({}, { file: join(dir, 'none') })).message).toContain('--config: ');
    expect((await refusal({}, { file: dir })).message).toContain('directory');
    await chmod(dir, 0o755);
  });
});
