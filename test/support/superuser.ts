import type { QueryResult } from 'pg';
import { amcheck } from '../../src/testbed/postgres/amcheck.ts';
import type { EmbeddedPostgres } from '../../src/testbed/postgres/server.ts';
import { verifyLedger } from '../../src/testbed/postgres/ledger.ts';
import type { LedgerReport } from '../../src/testbed/sequences.ts';
import type { Acked } from '../../src/testbed/postgres/load.ts';
import { withClient } from '../../src/demo/source.ts';
import { ROLE_PASSWORD } from './postgres.ts';

/** How the sidecar reaches a server, as its least-privileged role. */
export function roleEnv(server: EmbeddedPostgres): Record<string, string> {
  return { ...server.env('tcp'), PGUSER: 'quiesce', PGPASSWORD: ROLE_PASSWORD };
}

export async function query<T extends object>(
  server: EmbeddedPostgres,
  text: string,
): Promise<T[]> {
  return await withClient(server, 'postgres', async (client) => {
    const result = (await client.query<T>(text)) as QueryResult<T> | QueryResult<T>[];
    return Array.isArray(result) ? (result.at(-1)?.rows ?? []) : result.rows;
  });
}

/** Checks that every acknowledged transaction is there without a gap, sums and payloads; then amcheck, a write and a VACUUM. */
export async function examine(
  server: EmbeddedPostgres,
  acked: Acked,
): Promise<LedgerReport & { readonly amcheck: readonly string[] }> {
  return await withClient(server, 'postgres', async (client) => {
    const ledger = await verifyLedger(client, acked);
    const { problems } = await amcheck(client);
    await client.query('CREATE TABLE after_restore AS SELECT 1 AS one');
    await client.query('VACUUM');
    return { ...ledger, amcheck: problems };
  });
}
