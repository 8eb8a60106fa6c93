import { chmod, copyFile, rm, writeFile } from 'node:fs/promises';
import { createServer } from 'node:net';
import { once } from 'node:events';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { connect } from '../../../src/engines/postgres/connection/connection.ts';
import { Session } from '../../../src/engines/postgres/connection/session.ts';
import { parseSettings } from '../../../src/engines/postgres/connection/settings.ts';
import { freePort } from '../../../src/testbed/postgres/server.ts';
import { makeCertificates } from '../../support/certificates.ts';
import { MAJORS, ROLE_PASSWORD, startServer, type TestServer } from '../../support/postgres.ts';

const never = new AbortController().signal;

/** `encrypted` or `plain` for a connection that works, else the error's code and message. */
async function outcome(env: Record<string, string>): Promise<string> {
  const { settings, issues } = parseSettings(env);
  if (issues.length > 0) return `issue ${issues.map(({ name }) => name).join()}`;
  try {
    const connected = await connect(settings, never);
    const { rows } = await connected.client.query<{ ssl: boolean }>(
      'SELECT ssl FROM pg_stat_ssl WHERE pid = pg_backend_pid()',
    );
    await connected.client.end();
    expect(rows[0]?.ssl).toBe(connected.encrypted);
    return connected.encrypted ? 'encrypted' : 'plain';
  } catch (error) {
    const { code, message } = error as { code: string; message: string };
    expect(message).not.toContain(ROLE_PASSWORD);
    return `${code}: ${message}`;
  }
}

const HBA = [
  'hostssl certs all 127.0.0.1/32 cert map=m',
  'hostssl tlsonly all 127.0.0.1/32 scram-sha-256',
  'hostnossl plainonly all 127.0.0.1/32 scram-sha-256',
  'host nowhere,tlsonly,plainonly all 127.0.0.1/32 reject',
];

describe.each(MAJORS)('connecting to PostgreSQL %i', (major) => {
  let tls: TestServer;
  let plain: TestServer;
  let certs: string;
  let base: Record<string, string>;

  beforeAll(async () => {
    tls = await startServer({
      major,
      hba: HBA,
      settings: { ssl: 'on', ssl_ca_file: 'ca.crt' },
      beforeStart: async (dataDir, server) => {
        certs = join(dataDir, '..', 'certs');
        await makeCertificates(certs);
        for (const [from, to] of [
          ['server.crt', 'server.crt'],
          ['server.key', 'server.key'],
          ['ca.crt', 'ca.crt'],
        ] as const) {
          await copyFile(join(certs, from), join(dataDir, to));
          await server.own(join(dataDir, to));
        }
        await writeFile(join(dataDir, 'pg_ident.conf'), 'm quiesce quiesce\n');
      },
    });
    for (const name of ['certs', 'tlsonly', 'plainonly', 'nowhere'])
      await tls.admin.query(`CREATE DATABASE ${name}`);
    plain = await startServer({ major });
    base = {
      ...tls.roleEnv,
      PGSSLROOTCERT: join(certs, 'none.crt'),
      PGSSLCERT: join(certs, 'none.crt'),
    };
  });
  afterAll(async () => {
    await tls.stop();
    await plain.stop();
  });

  const with_ = (env: Record<string, string>): Promise<string> => outcome({ ...base, ...env });
  const ca = (): string => join(certs, 'ca.crt');
  const other = (): string => join(certs, 'otherca.crt');

  test('each sslmode works as in libpq on a server with TLS', async () => {
    expect(await with_({ PGSSLMODE: 'disable' })).toBe('plain');
    expect(await with_({ PGSSLMODE: 'allow' })).toBe('plain');
    expect(await with_({})).toBe('encrypted');
    expect(await with_({ PGSSLMODE: 'require' })).toBe('encrypted');
    expect(await with_({ PGSSLMODE: 'verify-ca' })).toMatch(
      /^ENGINE_TLS: .*none\.crt does not exist/,
    );
    expect(await with_({ PGSSLMODE: 'verify-ca', PGSSLROOTCERT: ca() })).toBe('encrypted');
    expect(await with_({ PGSSLMODE: 'verify-full', PGSSLROOTCERT: ca() })).toBe('encrypted');
    expect(
      await with_({ PGSSLMODE: 'verify-full', PGSSLROOTCERT: ca(), PGHOST: 'localhost' }),
    ).toBe('encrypted');
    expect(await with_({ PGSSLMODE: 'verify-ca', PGSSLROOTCERT: other() })).toMatch(/^ENGINE_TLS/);
    expect(await with_({ PGSSLMODE: 'verify-full', PGSSLROOTCERT: other() })).toMatch(
      /^ENGINE_TLS/,
    );
  });

  test('require verifies the chain if there is a root certificate, and prefer falls back to no TLS', async () => {
    expect(await with_({ PGSSLMODE: 'require', PGSSLROOTCERT: other() })).toMatch(/^ENGINE_TLS/);
    expect(await with_({ PGSSLMODE: 'prefer', PGSSLROOTCERT: other() })).toBe('plain');
    expect(
      await with_({ PGSSLMODE: 'prefer', PGSSLROOTCERT: other(), PGDATABASE: 'tlsonly' }),
    ).toMatch(/^ENGINE_TLS.*without TLS/);
  });

  test('only verify-full checks the host name, and a wildcard covers one label', async () => {
    const via = (PGHOST: string, PGSSLMODE: string): Promise<string> =>
      with_({ PGHOST, PGHOSTADDR: '127.0.0.1', PGSSLMODE, PGSSLROOTCERT: ca() });
    expect(await via('db.example.test', 'verify-full')).toBe('encrypted');
    expect(await via('a.db.example.test', 'verify-full')).toMatch(
      /^ENGINE_TLS.*not for a\.db\.example\.test/,
    );
    expect(await via('wrong.test', 'verify-full')).toMatch(/^ENGINE_TLS/);
    expect(await via('wrong.test', 'verify-ca')).toBe('encrypted');
    const { PGHOST: _host, ...rest } = base;
    expect(
      await outcome({
        ...rest,
        PGHOSTADDR: '127.0.0.1',
        PGSSLMODE: 'verify-full',
        PGSSLROOTCERT: ca(),
      }),
    ).toMatch(/^ENGINE_TLS.*PGHOST/);
  });

  test('prefer and allow try the other way when the server refuses the first', async () => {
    expect(await with_({ PGDATABASE: 'plainonly' })).toBe('plain');
    expect(await with_({ PGDATABASE: 'plainonly', PGSSLMODE: 'require' })).toMatch(
      /^ENGINE_AUTH.*pg_hba/,
    );
    expect(await with_({ PGDATABASE: 'tlsonly', PGSSLMODE: 'allow' })).toBe('encrypted');
    expect(await with_({ PGDATABASE: 'tlsonly', PGSSLMODE: 'disable' })).toMatch(
      /^ENGINE_AUTH.*pg_hba/,
    );
  });

  test('a server without TLS accepts prefer and fails require', async () => {
    const env = { ...plain.roleEnv, PGSSLROOTCERT: join(certs, 'none.crt') };
    expect(await outcome(env)).toBe('plain');
    expect(await outcome({ ...env, PGSSLMODE: 'require' })).toMatch(
      /^ENGINE_TLS.*does not offer TLS/,
    );
    expect(await outcome({ ...env, PGSSLMODE: 'verify-full', PGSSLROOTCERT: ca() })).toMatch(
      /^ENGINE_TLS/,
    );
  });

  test('a Unix socket never uses TLS', async () => {
    expect(await outcome({ ...tls.socketEnv, PGSSLMODE: 'verify-full', PGSSLROOTCERT: ca() })).toBe(
      'plain',
    );
  });

  test('sslrootcert=system verifies the chain and the host name against the machine’s authorities', async () => {
    process.env['SSL_CERT_FILE'] = ca();
    try {
      expect(await with_({ PGSSLROOTCERT: 'system' })).toBe('encrypted');
      expect(
        await with_({ PGSSLROOTCERT: 'system', PGHOST: 'wrong.test', PGHOSTADDR: '127.0.0.1' }),
      ).toMatch(/^ENGINE_TLS/);
      expect(await with_({ PGSSLROOTCERT: 'system', PGSSLMODE: 'require' })).toBe(
        'issue PGSSLMODE',
      );
    } finally {
      delete process.env['SSL_CERT_FILE'];
    }
  });

  test('a client certificate is offered, and a key that others may read is refused', async () => {
    const cert = {
      PGDATABASE: 'certs',
      PGSSLCERT: join(certs, 'client.crt'),
      PGSSLKEY: join(certs, 'client.key'),
      PGSSLMODE: 'require',
    };
    expect(await with_(cert)).toBe('encrypted');
    expect(await with_({ PGDATABASE: 'certs', PGSSLMODE: 'require' })).toMatch(
      /^ENGINE_AUTH.*certificate/,
    );
    await chmod(cert.PGSSLKEY, 0o644);
    expect(await with_(cert)).toMatch(/^ENGINE_TLS.*accessible to others/);
    await chmod(cert.PGSSLKEY, 0o600);
    expect(await with_({ ...cert, PGSSLKEY: join(certs, 'none.key') })).toMatch(
      /^ENGINE_TLS.*no private key/,
    );
  });

  test('a TLS version that the server does not support is an ENGINE_TLS error', async () => {
    await tls.admin.query(`ALTER SYSTEM SET ssl_max_protocol_version = 'TLSv1.2'`);
    await tls.admin.query('SELECT pg_reload_conf()');
    await new Promise((resolve) => setTimeout(resolve, 300));
    expect(await with_({ PGSSLMODE: 'require', PGSSLMINPROTOCOLVERSION: 'TLSv1.3' })).toMatch(
      /^ENGINE_TLS/,
    );
    await tls.admin.query('ALTER SYSTEM RESET ssl_max_protocol_version');
    await tls.admin.query('SELECT pg_reload_conf()');
  });

  test('a wrong or missing password, an unknown role and a pg_hba.conf refusal are ENGINE_AUTH errors', async () => {
    expect(await with_({ PGPASSWORD: 'wrong-secret' })).toMatch(/^ENGINE_AUTH: (?!.*wrong-secret)/);
    expect(await with_({ PGUSER: 'nobody-here' })).toMatch(/^ENGINE_AUTH/);
    expect(await with_({ PGPASSWORD: '', PGPASSFILE: join(certs, 'none') })).toMatch(
      /^ENGINE_AUTH.*PGPASSWORD is unset/,
    );
    expect(await with_({ PGDATABASE: 'nowhere' })).toMatch(/^ENGINE_AUTH.*pg_hba\.conf/);
  });

  test('the first matching line of the password file counts, and a file that others may read is ignored', async () => {
    const file = join(certs, 'pgpass');
    await rm(file, { force: true });
    await writeFile(
      file,
      `# comment\nother:*:*:quiesce:nope\n127.0.0.1:${base['PGPORT']}:*:quiesce:${ROLE_PASSWORD}\n`,
      { mode: 0o600 },
    );
    expect(await with_({ PGPASSWORD: '', PGPASSFILE: file })).toBe('encrypted');
    await chmod(file, 0o644);
    expect(await with_({ PGPASSWORD: '', PGPASSFILE: file })).toMatch(/^ENGINE_AUTH.*0600/);
  });

  test('the error for an unknown or a closed database has its name and the grant', async () => {
    expect(await with_({ PGDATABASE: 'nope' })).toMatch(
      /^ENGINE_UNREACHABLE.*"nope" does not exist/,
    );
    await tls.admin.query('DROP DATABASE IF EXISTS shut');
    await tls.admin.query('CREATE DATABASE shut');
    await tls.admin.query('REVOKE CONNECT ON DATABASE shut FROM PUBLIC');
    expect(await with_({ PGDATABASE: 'shut' })).toMatch(
      /^ENGINE_PRIVILEGE.*GRANT CONNECT ON DATABASE "shut" TO "quiesce";/,
    );
  });

  test('the error for too many connections says what to do', async () => {
    await tls.admin.query('ALTER ROLE quiesce CONNECTION LIMIT 0');
    const failure = await Session.open(parseSettings(base).settings, never).catch(
      (error: unknown) => error,
    );
    await tls.admin.query('ALTER ROLE quiesce CONNECTION LIMIT -1');
    expect(failure).toMatchObject({
      code: 'ENGINE_UNREACHABLE',
      hint: expect.stringContaining('max_connections') as string,
    });
  });
});

describe('without a server', () => {
  const settingsFor = (env: Record<string, string>): Record<string, string> => ({
    PGUSER: 'u',
    PGCONNECT_TIMEOUT: '2',
    ...env,
  });

  test('a closed port, a missing socket and an unknown host name are ENGINE_UNREACHABLE errors', async () => {
    const port = String(await freePort());
    expect(await outcome(settingsFor({ PGHOST: '127.0.0.1', PGPORT: port }))).toMatch(
      /^ENGINE_UNREACHABLE/,
    );
    expect(await outcome(settingsFor({ PGHOST: 'localhost', PGPORT: port }))).toMatch(
      /^ENGINE_UNREACHABLE/,
    );
    expect(await outcome(settingsFor({ PGPORT: port }))).toMatch(/^ENGINE_UNREACHABLE/);
    expect(await outcome(settingsFor({ PGHOST: '/nowhere', PGPORT: port }))).toMatch(
      /^ENGINE_UNREACHABLE.*ENOENT/,
    );
    expect(await outcome(settingsFor({ PGHOST: '/etc/passwd', PGPORT: port }))).toMatch(
      /^ENGINE_UNREACHABLE.*ENOTDIR/,
    );
    expect(await outcome(settingsFor({ PGHOST: 'no-such-host.invalid' }))).toMatch(
      /^ENGINE_UNREACHABLE/,
    );
  });

  test('a server that is starting causes ENGINE_STARTING', async () => {
    const port = await freePort();
    const text = 'SFATAL\0VFATAL\0C57P03\0Mthe database system is starting up\0\0';
    const answer = Buffer.concat([Buffer.from('E'), Buffer.alloc(4), Buffer.from(text)]);
    answer.writeInt32BE(answer.length - 1, 1);
    const server = createServer((socket) => {
      socket.on('error', () => undefined);
      socket.once('data', () => socket.end(answer));
    }).listen(port, '127.0.0.1');
    await once(server, 'listening');
    const env = settingsFor({ PGHOST: '127.0.0.1', PGPORT: String(port), PGSSLMODE: 'disable' });
    expect(await outcome(env)).toMatch(/^ENGINE_STARTING.*starting up/);
    server.close();
  });

  test('connecting to a port that accepts and sends nothing fails after PGCONNECT_TIMEOUT', async () => {
    const port = await freePort();
    const server = createServer(() => undefined).listen(port, '127.0.0.1');
    await once(server, 'listening');
    const begun = Date.now();
    const env = settingsFor({ PGHOST: '127.0.0.1', PGPORT: String(port), PGCONNECT_TIMEOUT: '1' });
    expect(await outcome(env)).toMatch(/^ENGINE_UNREACHABLE.*PGCONNECT_TIMEOUT/);
    expect(Date.now() - begun).toBeLessThan(2_000);
    server.close();
  });
});
