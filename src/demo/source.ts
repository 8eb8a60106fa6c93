import { randomBytes } from 'node:crypto';
import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { Client, type ClientConfig } from 'pg';
import { EmbeddedPostgres, freePort } from '../testbed/postgres/server.ts';
import { roleSqlPath, type SidecarProcess, startSidecarIn } from '../testbed/processes.ts';
import type { Workspace } from '../testbed/workspace.ts';

/** The database the writers use. */
export const DATABASE = 'bank';
const PGDATA = 'pgdata';

/** Prepares a server, which the workspace stops. Does not create its data or start it. */
export async function makeServer(
  workspace: Workspace,
  name: string,
  major: number,
  volumePath: string,
): Promise<EmbeddedPostgres> {
  const server = await EmbeddedPostgres.at({
    major,
    dataDir: join(volumePath, PGDATA),
    port: await freePort(),
    socketDir: join(workspace.dir, name),
    logFile: join(workspace.dir, `${name}.log`),
  });
  await workspace.defer(() => server.stop('fast'));
  return server;
}

/** Starts the server and records its process, so that a later run can clean up. */
export async function startServer(workspace: Workspace, server: EmbeddedPostgres): Promise<void> {
  await server.start();
  await workspace.record(server.pid);
}

/** Settings for a superuser connection. */
export function connectionTo(server: EmbeddedPostgres, database: string): ClientConfig {
  return { ...server.superuser(database), application_name: 'quiesce demo' };
}

export async function withClient<T>(
  server: EmbeddedPostgres,
  database: string,
  use: (client: Client) => Promise<T>,
): Promise<T> {
  const client = new Client(connectionTo(server, database));
  // The server may stop while the connection is idle; the next query reports that.
  client.on('error', () => undefined);
  await client.connect();
  try {
    return await use(client);
  } finally {
    await client.end().catch(() => undefined);
  }
}

/**
 * Creates the writers' database and the sidecar's least-privileged role, as an administrator would with
 * the SQL file.
 *
 * @returns libpq's settings for the role; the password is in a file.
 */
export async function makeRole(
  workspace: Workspace,
  server: EmbeddedPostgres,
): Promise<{ PGUSER: string; PGPASSWORD_FILE: string }> {
  const password = randomBytes(18).toString('base64url');
  const file = join(workspace.dir, 'role-password');
  await writeFile(file, `${password}\n`, { mode: 0o600 });
  const sql = await readFile(roleSqlPath(), 'utf8');
  await withClient(server, 'postgres', async (client) => {
    await client.query(`CREATE DATABASE ${DATABASE}`);
    await client.query(sql);
    await client.query(`ALTER ROLE quiesce PASSWORD ${client.escapeLiteral(password)}`);
  });
  return { PGUSER: 'quiesce', PGPASSWORD_FILE: file };
}

/** Starts a sidecar for a server and its volume. The workspace stops it; it may not be ready yet. */
export async function startSidecar(
  workspace: Workspace,
  name: string,
  server: EmbeddedPostgres,
  volumePath: string,
  role: Readonly<Record<string, string>>,
): Promise<SidecarProcess> {
  return await startSidecarIn(workspace, name, {
    engine: 'postgres',
    dataDir: volumePath,
    app: 'demo',
    connection: {
      PGHOST: '127.0.0.1',
      PGPORT: String(server.options.port),
      PGDATABASE: 'postgres',
      ...role,
    },
  });
}
