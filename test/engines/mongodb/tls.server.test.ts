import { mkdir, readFile, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { makeCertificates } from '../../support/certificates.ts';
import { type Mongod, mongoEnv, startStandalone } from '../../support/mongod.ts';
import { makeTempDir } from '../../support/postgres.ts';
import { TestSidecar } from '../../support/sidecar.ts';

let dir: string;
let server: Mongod;
let count = 0;

beforeAll(async () => {
  dir = await makeTempDir();
  await makeCertificates(join(dir, 'tls'));
  const pem = join(dir, 'server.pem');
  const parts = ['server.key', 'server.crt'].map((name) =>
    readFile(join(dir, 'tls', name), 'utf8'),
  );
  await writeFile(pem, (await Promise.all(parts)).join('\n'), { mode: 0o600 });
  server = await startStandalone(join(dir, 'data'));
  await server.signal('SIGTERM');
  await server.startTls(pem, join(dir, 'tls', 'ca.crt'));
});

afterAll(async () => {
  await server.stop();
  await rm(dir, { recursive: true, force: true });
});

async function freeze(
  options: string,
): Promise<{ status: number; body: { error?: { code: string } } }> {
  count += 1;
  const own = join(dir, `q${count}`);
  await mkdir(own);
  const env = mongoEnv(server, server.dbPath);
  const sidecar = new TestSidecar(own, { ...env, MONGODB_URI: `${env['MONGODB_URI']}${options}` });
  await sidecar.start('live');
  try {
    const frozen = await sidecar.api('POST', '/v1/freeze');
    if (frozen.status === 200) await sidecar.api('POST', '/v1/thaw');
    return frozen;
  } finally {
    await sidecar.signal('SIGKILL');
  }
}

test('a freeze succeeds over TLS with the right authority', async () => {
  const { status, body } = await freeze(`&tls=true&tlsCAFile=${join(dir, 'tls', 'ca.crt')}`);
  expect(status, JSON.stringify(body)).toBe(200);
});

test('TLS with another authority fails with its own error code', async () => {
  const { body } = await freeze(`&tls=true&tlsCAFile=${join(dir, 'tls', 'otherca.crt')}`);
  expect(body.error?.code).toBe('ENGINE_TLS');
});

test('a server that requires TLS is not reachable without it', async () => {
  const { body } = await freeze('');
  expect(body.error?.code).toMatch(/ENGINE_(?:UNREACHABLE|TLS)/);
});
