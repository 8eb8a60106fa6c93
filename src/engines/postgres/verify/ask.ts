import { QuiesceError } from '../../../errors.ts';
import { abortedWithin } from '../../../lib/deadline.ts';
import type { AnswerToQuestion, Question } from '../../ask-module.ts';
import type { Settings } from '../../engine.ts';
import { withSession } from '../../shared/with-session.ts';
import { parseSettings } from '../connection/settings.ts';
import { Session } from '../connection/session.ts';

/** Statements that only read. Of COPY and DO a read-only transaction allows too much. */
const READS = /^\s*(?:select|with|values|table)\b/i;
const LONGEST = 200;
const SPARE_MS = 1_000;

/**
 * The server holds the statement back in three ways: a transaction that may only read, a timeout, and a
 * protocol that takes one statement. What a function does outside the database it cannot hold back.
 */
export async function ask(
  settings: Settings,
  { statement, database, timeoutMs }: Question,
  signal: AbortSignal,
): Promise<AnswerToQuestion> {
  if (!READS.test(statement)) {
    const text = 'A check must be one statement that begins with SELECT, WITH, VALUES or TABLE.';
    throw new QuiesceError('USAGE', text, { field: 'statement' });
  }
  const limit = abortedWithin(timeoutMs + SPARE_MS, signal);
  const of = { ...parseSettings(settings).settings, ...(database !== undefined && { database }) };
  return await withSession(Session.open(of, limit), async (session) => {
    await session.query('BEGIN TRANSACTION READ ONLY', [], limit);
    const settings_ = [
      `SET LOCAL statement_timeout = ${Math.max(1, Math.round(timeoutMs))}`,
      `SET LOCAL lock_timeout = ${Math.max(1, Math.round(timeoutMs))}`,
      // A check names its tables as the application does.
      'SET LOCAL search_path = DEFAULT',
    ];
    await session.query(settings_.join('; '), [], limit);
    const [row] = await session.querySingle(statement.replace(/;\s*$/, ''), limit);
    await session.query('ROLLBACK', [], limit);
    if (row === undefined) return { ok: false };
    const [value] = Object.values(row);
    const ok = value !== null && value !== undefined && value !== false;
    return { ok, found: textOf(value).slice(0, LONGEST) };
  });
}

function textOf(value: unknown): string {
  return typeof value === 'string' ? value : (JSON.stringify(value) ?? 'null');
}
