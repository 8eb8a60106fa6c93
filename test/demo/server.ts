import { mkdtemp, rm, chmod } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Client } from 'pg';
import { EmbeddedPostgres, freePort } from '../../src/testbed/postgres/server.ts';

/** Creates a temporary folder that any user may enter. */
export async function tempDir(): Promise<{ dir: string; remove: () => Promise<void> }> {
  const dir = await mkdtemp(join(tmpdir(), 'qdemo-'));
  await chmod(dir, 0o755);
  return { dir, remove: () => rm(dir, { recursive: true, force: true }) };
}

/** Prepares a server on `dataDir`; call `initdb` and `start` next. */
export async function serverAt(dataDir: string, socketDir: string): Promise<EmbeddedPostgres> {
  return EmbeddedPostgres.at({ major: 17, dataDir, port: await freePort(), socketDir });
}

export async function withClient<T>(
  server: EmbeddedPostgres,
  use: (client: Client) => Promise<T>,
): Promise<T> {
  const client = new Client(server.superuser());
  await client.connect();
  try {
    return await use(client);
  } finally {
    await client.end();
  }
}
