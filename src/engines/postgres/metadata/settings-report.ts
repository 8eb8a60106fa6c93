import type { Session } from '../connection/session.ts';
import type { Row } from './queries.ts';
import { TEXT_SHOWN } from './settings-shown.ts';

/** One setting whose value differs from the built-in one. */
export interface ReportedSetting {
  readonly name: string;
  /** Redacted where it may carry a secret. */
  readonly value: string | null;
  readonly unit: string | null;
  readonly default: string | null;
  /** As in pg_settings: `configuration file`, `command line`, `user`, `database`, … */
  readonly source: string | null;
  readonly sourceFile: string | null;
  readonly sourceLine: number | null;
  readonly pendingRestart: boolean;
}

const REDACTED = '(redacted)';

/** Settings whose value may be a command or a connection string with credentials in it. */
const COMMANDS = new Set([
  'archive_command',
  'restore_command',
  'archive_cleanup_command',
  'recovery_end_command',
]);
const ALWAYS_REDACTED = new Set(['ssl_passphrase_command']);
const SECRET_NAME = /secret|password|passwd|passphrase|token|credential|api_?key|private_?key/i;

/** The settings that differ from their built-in values. */
export async function readSettings(
  session: Session,
  signal: AbortSignal,
): Promise<ReportedSetting[]> {
  const rows = await readRaw(session, signal);
  return rows.map(({ vartype, category, ...row }) => {
    const secret = vartype === 'string' && isOpaque(row.name, category);
    const shown = secret && row.value ? REDACTED : redact(row.name, row.value);
    return { ...row, value: shown, default: redact(row.name, row.default) };
  });
}

/**
 * The same settings as they may travel with a copy. `withheld`: the value stays behind, because it is text
 * and not in `TEXT_SHOWN`.
 */
export async function readSettingsForCopy(session: Session, signal: AbortSignal): Promise<Row[]> {
  const rows = await readRaw(session, signal);
  return rows.map(({ vartype, category, name, value, unit, source, sourceFile, sourceLine }) => {
    const shown =
      vartype === 'string'
        ? TEXT_SHOWN.has(name)
        : category !== 'Customized Options' || !SECRET_NAME.test(name);
    const withheld = shown ? {} : { withheld: true };
    return { name, value: shown ? value : null, unit, source, sourceFile, sourceLine, ...withheld };
  });
}

type RawSetting = ReportedSetting & { readonly vartype: string; readonly category: string };

/**
 * The session's own `SET`s are undone for the query, inside a transaction that is rolled back, so that the
 * values are those of other sessions.
 */
async function readRaw(session: Session, signal: AbortSignal): Promise<RawSetting[]> {
  const sql = `
    BEGIN READ ONLY;
    RESET ALL;
    SET LOCAL search_path = pg_catalog, pg_temp;
    SET LOCAL statement_timeout = 0;
    SET LOCAL client_encoding = 'UTF8';
    SELECT name, CASE WHEN source = 'session' THEN reset_val ELSE setting END AS value, unit, boot_val AS default,
           vartype, category, CASE WHEN source <> 'session' THEN source END AS source, sourcefile AS "sourceFile",
           sourceline AS "sourceLine", pending_restart AS "pendingRestart"
      FROM pg_catalog.pg_settings
     WHERE (source NOT IN ('default', 'override', 'client', 'session')
            OR (source = 'session' AND reset_val IS DISTINCT FROM boot_val) OR pending_restart)
       AND context <> 'internal' AND name <> 'client_encoding'
     ORDER BY name`;
  try {
    return await session.query<RawSetting>(sql, [], signal);
  } finally {
    if (!session.lost.aborted) await session.query('ROLLBACK', [], signal);
  }
}

/** Text settings of extensions and applications may contain anything, including keys. */
function isOpaque(name: string, category: string): boolean {
  return category === 'Customized Options' || SECRET_NAME.test(name);
}

/** A setting's value as it may be shown. */
export function redact(name: string, value: string | null): string | null {
  if (value === null || value === '') return value;
  if (ALWAYS_REDACTED.has(name)) return REDACTED;
  if (COMMANDS.has(name) && value !== '(disabled)') return redactCommand(value);
  return maskCredentials(value);
}

/** Keeps only the program of a command: its arguments may be credentials in any form. */
function redactCommand(command: string): string {
  const words = command.trim().split(/\s+/);
  const program = words.find((word) => !/^\w+=/.test(word)) ?? '';
  const plain = /^[\w./-]+$/.test(program) ? program : '';
  return words.length === 1 && plain !== '' ? plain : `${plain} ${REDACTED}`.trim();
}

/** `password=…` of a connection string, quoted or not, and the password in a URL. */
function maskCredentials(value: string): string {
  return value
    .replace(
      /\b((?:ssl)?password|passwd|secret|token)(\s*=\s*)('(?:[^'\\]|\\.|'')*'|[^\s'&]+)/gi,
      `$1$2${REDACTED}`,
    )
    .replace(/(\w+:\/\/[^\s:/@]*:)[^\s@]+@/g, `$1${REDACTED}@`);
}
