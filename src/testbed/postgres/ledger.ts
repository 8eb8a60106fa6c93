import type pg from 'pg';
import {
  acknowledgedCheck,
  describeRanges,
  gapCheck,
  type LedgerCheck,
  type LedgerReport,
} from '../sequences.ts';
import { type Acked, countAcked, type LedgerShape } from './load.ts';

interface ClientRows {
  readonly client: number;
  readonly count: number;
  readonly distinct: number;
  readonly min: number;
  readonly max: number;
}

const LISTED = 5;

/**
 * Checks a database against the acknowledgements of a {@link WriterLoad}. Every acknowledged transaction
 * must be present. No client's sequence may have a gap or a duplicate. The sum of all accounts must equal
 * the initial sum, each balance must follow from the ledger, and every payload must be what was written.
 * Reads the tables, not their indexes, in one read-only snapshot, so writers may run at the same time.
 *
 * @throws the server's error: a database that cannot be read proves nothing.
 */
export async function verifyLedger(client: pg.ClientBase, acked: Acked): Promise<LedgerReport> {
  await client.query('BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY');
  try {
    await client.query(
      'SET LOCAL enable_indexscan = off; SET LOCAL enable_indexonlyscan = off; SET LOCAL enable_bitmapscan = off',
    );
    const rows = await readClients(client, acked.shape);
    const total = rows.reduce((sum, row) => sum + row.count, 0);
    const lost = await checkAcknowledged(client, acked, rows);
    const gaps = await checkGaps(client, acked, rows);
    const checks = [
      lost.check,
      gaps.check,
      checkCounts(acked, rows),
      await checkSum(client, acked.shape),
      await checkBalances(client, acked.shape),
      await checkPayload(client, acked.shape),
    ];
    return {
      ok: checks.every(({ ok }) => ok),
      checks,
      rows: total,
      beyond: total - (countAcked(acked) - lost.count),
      missing: lost.count,
      gaps: gaps.count,
    };
  } finally {
    await client.query('ROLLBACK').catch(() => undefined);
  }
}

/** A SQL expression for all ledger tables as one. */
function ledger({ tables }: LedgerShape): string {
  const parts = Array.from({ length: tables }, (_, n) => `SELECT * FROM bank.ledger_${n}`);
  return `(${parts.join(' UNION ALL ')}) AS ledger`;
}

async function readClients(client: pg.ClientBase, shape: LedgerShape): Promise<ClientRows[]> {
  const result = await client.query<Record<keyof ClientRows, string>>(
    `SELECT client, count(*) AS count, count(DISTINCT seq) AS distinct, min(seq) AS min, max(seq) AS max
       FROM ${ledger(shape)} GROUP BY client ORDER BY client`,
  );
  return result.rows.map((row) => ({
    client: Number(row.client),
    count: Number(row.count),
    distinct: Number(row.distinct),
    min: Number(row.min),
    max: Number(row.max),
  }));
}

/** The sequence numbers from 1 to `upTo` of one client that the ledger lacks. */
async function missing(
  client: pg.ClientBase,
  shape: LedgerShape,
  index: number,
  upTo: number,
): Promise<number[]> {
  const result = await client.query<{ seq: string }>(
    `SELECT wanted AS seq FROM generate_series(1, $2::bigint) wanted
      EXCEPT SELECT seq FROM ${ledger(shape)} WHERE client = $1::int ORDER BY seq`,
    [index, upTo],
  );
  return result.rows.map((row) => Number(row.seq));
}

/** A check of the sequences, and how many numbers they lack. */
interface Lacking {
  readonly check: LedgerCheck;
  readonly count: number;
}

async function checkAcknowledged(
  client: pg.ClientBase,
  acked: Acked,
  rows: readonly ClientRows[],
): Promise<Lacking> {
  const lost: string[] = [];
  let count = 0;
  for (const [index, upTo] of acked.upTo.entries()) {
    const row = rows.find((candidate) => candidate.client === index);
    if (upTo === 0 || isWhole(row, upTo)) continue;
    const gone = await missing(client, acked.shape, index, upTo);
    count += gone.length;
    if (gone.length > 0) lost.push(`client ${index} lacks ${describeRanges(gone)} of ${upTo}`);
  }
  const what = `${countAcked(acked)} acknowledged transactions`;
  return { check: acknowledgedCheck(what, lost.join('; ')), count };
}

/** Whether rows 1 … max have no gap and max reaches `upTo`. */
function isWhole(row: ClientRows | undefined, upTo: number): boolean {
  return row !== undefined && row.min === 1 && row.distinct === row.max && row.max >= upTo;
}

async function checkGaps(
  client: pg.ClientBase,
  { shape }: Acked,
  rows: readonly ClientRows[],
): Promise<Lacking> {
  const gaps: string[] = [];
  let count = 0;
  for (const row of rows) {
    if (isWhole(row, 0)) continue;
    const gone = await missing(client, shape, row.client, row.max);
    count += gone.length;
    gaps.push(`client ${row.client} lacks ${describeRanges(gone)} below ${row.max}`);
  }
  return { check: gapCheck(`${rows.length} clients`, gaps.join('; ')), count };
}

/** Checks that no row is duplicated and that every client is one of the load's. */
function checkCounts({ shape, upTo }: Acked, rows: readonly ClientRows[]): LedgerCheck {
  const wrong = rows.flatMap((row) => {
    if (row.client < 0 || row.client >= shape.clients) return [`unknown client ${row.client}`];
    return row.count === row.distinct
      ? []
      : [`client ${row.client} has ${row.count - row.distinct} duplicates`];
  });
  const total = rows.reduce((sum, row) => sum + row.count, 0);
  const expected = rows.reduce((sum, row) => sum + Math.max(row.max, upTo[row.client] ?? 0), 0);
  if (wrong.length === 0 && total !== expected) wrong.push(`${total} rows, expected ${expected}`);
  const message = wrong.length === 0 ? `${total} ledger rows, each once` : wrong.join('; ');
  return { name: 'counts', ok: wrong.length === 0, message };
}

async function checkSum(client: pg.ClientBase, shape: LedgerShape): Promise<LedgerCheck> {
  const { rows } = await client.query<{ count: string; sum: string | null }>(
    'SELECT count(*) AS count, sum(balance) AS sum FROM bank.accounts',
  );
  const [found, sum] = [Number(rows[0]?.count), Number(rows[0]?.sum)];
  const expected = shape.accounts * shape.initialBalance;
  const ok = found === shape.accounts && sum === expected;
  const message = ok
    ? `${found} accounts hold ${sum}, as at the start`
    : `${found} accounts hold ${sum}; expected ${shape.accounts} with ${expected}`;
  return { name: 'sum', ok, message };
}

async function checkBalances(client: pg.ClientBase, shape: LedgerShape): Promise<LedgerCheck> {
  const { rows } = await client.query<{ id: number; balance: string; expected: string }>(
    `WITH moved AS (
       SELECT id, sum(amount) AS amount FROM (
         SELECT to_account AS id, amount FROM ${ledger(shape)}
         UNION ALL SELECT from_account, -amount FROM ${ledger(shape)}) AS both_sides GROUP BY id)
     SELECT id, balance, coalesce(amount, 0) + $1::bigint AS expected
       FROM bank.accounts FULL JOIN moved USING (id)
      WHERE balance IS DISTINCT FROM coalesce(amount, 0) + $1::bigint ORDER BY id`,
    [shape.initialBalance],
  );
  const some = rows
    .slice(0, LISTED)
    .map((row) => `account ${row.id} holds ${row.balance}, the ledger says ${row.expected}`);
  const message =
    rows.length === 0
      ? 'every balance matches the ledger'
      : `${rows.length} balances differ: ${some.join('; ')}`;
  return { name: 'balances', ok: rows.length === 0, message };
}

async function checkPayload(client: pg.ClientBase, shape: LedgerShape): Promise<LedgerCheck> {
  const { rows } = await client.query<{ client: number; seq: string }>(
    `SELECT client, seq FROM ${ledger(shape)}
      WHERE payload IS DISTINCT FROM repeat(md5(client || ':' || seq), ${shape.payloadRepeats})
      ORDER BY client, seq`,
  );
  const some = rows.slice(0, LISTED).map((row) => `client ${row.client} seq ${row.seq}`);
  const message =
    rows.length === 0 ? 'every payload is as written' : `payloads differ: ${some.join('; ')}`;
  return { name: 'payload', ok: rows.length === 0, message };
}
