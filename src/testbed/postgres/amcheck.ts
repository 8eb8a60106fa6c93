import type { ClientBase } from 'pg';

export interface AmcheckReport {
  readonly indexes: number;
  readonly tables: number;
  /** amcheck's own messages, each with the relation's name. */
  readonly problems: readonly string[];
}

/**
 * Checks every B-tree index of the connected database against its table (`bt_index_parent_check`
 * with `heapallindexed`) and, on 14 and later, every table (`verify_heapam`). Needs a superuser, and
 * creates the extension if it is missing. On a corrupt copy a check can loop, so each relation gets
 * `timeoutMs`; a check that exceeds it is reported as a problem.
 */
export async function amcheck(client: ClientBase, timeoutMs = 30_000): Promise<AmcheckReport> {
  await client.query('SET client_min_messages = warning; CREATE EXTENSION IF NOT EXISTS amcheck');
  await client.query(`SET statement_timeout = ${timeoutMs}`);
  const problems: string[] = [];
  const relations = await client.query<{ oid: number; name: string; index: boolean }>(`
    SELECT c.oid, c.oid::regclass::text AS name, c.relkind = 'i' AS index
      FROM pg_class c LEFT JOIN pg_index i ON i.indexrelid = c.oid LEFT JOIN pg_am a ON a.oid = c.relam
     WHERE c.relpersistence <> 't'
       AND (c.relkind IN ('r', 't', 'm') OR c.relkind = 'i' AND a.amname = 'btree' AND i.indisvalid)`);
  const { rows: version } = await client.query<{ number: number }>(
    `SELECT current_setting('server_version_num')::int AS number`,
  );
  const heap = Number(version[0]?.number) >= 140_000;
  const checked = relations.rows.filter(({ index }) => index || heap);
  for (const { oid, name, index } of checked) {
    const found = await check(client, oid, index).catch((error: unknown) => [
      (error as Error).message,
    ]);
    problems.push(...found.map((message) => `${name}: ${message}`));
  }
  await client.query('RESET statement_timeout');
  const indexes = checked.filter(({ index }) => index).length;
  return { indexes, tables: checked.length - indexes, problems };
}

async function check(client: ClientBase, oid: number, index: boolean): Promise<string[]> {
  if (index) {
    await client.query('SELECT bt_index_parent_check($1::oid, true)', [oid]);
    return [];
  }
  const { rows } = await client.query<{ msg: string }>(
    'SELECT msg FROM verify_heapam($1::oid, check_toast := true)',
    [oid],
  );
  return rows.map(({ msg }) => msg);
}
