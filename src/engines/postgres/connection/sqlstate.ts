import { type ErrorCode, QuiesceError } from '../../../errors.ts';

/** What is known about the connection, for error messages. Nothing in it is secret. */
export interface ErrorContext {
  readonly role?: string;
  readonly database?: string;
}

interface ServerError {
  readonly code: string;
  readonly message: string;
  readonly detail?: string;
}

/** SQLSTATE of an error that the server sent, even if wrapped in a QuiesceError. */
export function sqlstateOf(error: unknown): string | undefined {
  if (error instanceof QuiesceError) return sqlstateOf(error.cause);
  return asServerError(error)?.code;
}

/** Appendix A of the documentation, "PostgreSQL Error Codes". Other codes become ENGINE_FAILED. */
const BY_SQLSTATE: Readonly<Record<string, { code: ErrorCode; hint?: string }>> = {
  '28P01': { code: 'ENGINE_AUTH', hint: 'Check PGUSER and PGPASSWORD (or the password file).' },
  '28000': { code: 'ENGINE_AUTH', hint: 'Check PGUSER, and the rules for it in pg_hba.conf.' },
  '57P03': { code: 'ENGINE_STARTING' },
  '57P01': { code: 'ENGINE_UNREACHABLE' },
  '57P02': { code: 'ENGINE_UNREACHABLE' },
  '57P05': { code: 'ENGINE_UNREACHABLE' },
  '53300': {
    code: 'ENGINE_UNREACHABLE',
    hint: 'Raise max_connections, or keep a connection for the sidecar: on 16 and newer reserved_connections and GRANT pg_use_reserved_connections.',
  },
  '3D000': {
    code: 'ENGINE_UNREACHABLE',
    hint: 'Set PGDATABASE to a database that exists; postgres usually does.',
  },
};

/**
 * Whether nothing listens at the address any more: the server has ended, and its memory is gone.
 * False for a server that does not answer or is starting.
 */
export function nothingListens(error: unknown): boolean {
  if (error instanceof QuiesceError) return nothingListens(error.cause);
  const { code } = (error ?? {}) as NodeJS.ErrnoException;
  return code === 'ECONNREFUSED' || code === 'ENOENT';
}

/** Codes that mean the connection failed, not the statement. */
const CONNECTION_CODES = new Set([
  'ECONNREFUSED',
  'ECONNRESET',
  'ENOENT',
  'ENOTDIR',
  'EACCES',
  'EPERM',
  'ENOTFOUND',
  'EAI_AGAIN',
  'EHOSTUNREACH',
  'ENETUNREACH',
  'ETIMEDOUT',
  'EPIPE',
  'ENOTSOCK',
]);

/**
 * Turns any error from talking to the server into one that a user may see.
 *
 * @param what the step that failed, e.g. `connect to 127.0.0.1:5432`; the message begins with it.
 */
export function toEngineError(
  error: unknown,
  what: string,
  context: ErrorContext = {},
): QuiesceError {
  if (error instanceof QuiesceError) return error;
  const server = asServerError(error);
  const message = (error as Error | undefined)?.message ?? String(error);
  if (!server) return connectionError(error, message, what);
  if (/unsupported startup parameter|pgbouncer/i.test(message)) {
    return new QuiesceError('ENGINE_POOLER', `${what}: a connection pooler answered: ${message}`, {
      cause: error,
    });
  }
  if (server.code === '42501') return privilegeError(server, what, context);
  const known = BY_SQLSTATE[server.code];
  const hint = known?.hint;
  const text = `${what}: ${sentence(message)} (SQLSTATE ${server.code})`;
  return new QuiesceError(known?.code ?? 'ENGINE_FAILED', text, {
    cause: error,
    ...(hint === undefined ? {} : { hint }),
  });
}

function connectionError(error: unknown, message: string, what: string): QuiesceError {
  const code = (error as NodeJS.ErrnoException | undefined)?.code ?? '';
  if (/^(ERR_TLS|ERR_SSL|ERR_OSSL)/.test(code)) {
    return new QuiesceError('ENGINE_TLS', `${what}: TLS failed: ${message}`, { cause: error });
  }
  const lost = /Connection terminated|connection error|was closed/i.test(message);
  if (CONNECTION_CODES.has(code) || lost) {
    return new QuiesceError('ENGINE_UNREACHABLE', `${what}: ${message || code}`, { cause: error });
  }
  return new QuiesceError('ENGINE_FAILED', `${what}: ${message || code}`, { cause: error });
}

function privilegeError(server: ServerError, what: string, context: ErrorContext): QuiesceError {
  const statement = grantFor(`${server.message} ${server.detail ?? ''}`, context);
  const where = context.database === undefined ? '' : `, in database ${quote(context.database)}`;
  const cure = statement === undefined ? '' : ` Missing: ${statement}`;
  return new QuiesceError('ENGINE_PRIVILEGE', `${what}: ${sentence(server.message)}${cure}`, {
    cause: server,
    hint:
      statement === undefined
        ? 'Compare the role with roles/postgres.sql.'
        : `Run as a superuser${where}: ${statement} (or the whole of roles/postgres.sql).`,
  });
}

/** Functions that not every role may execute, with the signature that a GRANT needs. */
const SIGNATURES: Readonly<Record<string, string>> = {
  pg_backup_start: 'text, boolean',
  pg_backup_stop: 'boolean',
  pg_start_backup: 'text, boolean, boolean',
  pg_stop_backup: 'boolean, boolean',
  pg_hba_file_rules: '',
  pg_wal_replay_pause: '',
  pg_wal_replay_resume: '',
};

/**
 * The statement that grants what the server says is missing; `undefined` where that is not known.
 */
function grantFor(
  message: string,
  { role = 'quiesce', database }: ErrorContext,
): string | undefined {
  const to = quote(role);
  const fn = /permission denied for function (\w+)/.exec(message)?.[1];
  if (fn !== undefined && fn in SIGNATURES) return grantExecute(fn, role);
  if (/permission denied for database/.test(message)) {
    return `GRANT CONNECT ON DATABASE ${quote(database ?? 'postgres')} TO ${to};`;
  }
  if (/replication slots|REPLICATION attribute|replication role/.test(message)) {
    return `ALTER ROLE ${to} REPLICATION;`;
  }
  if (/pg_checkpoint|CHECKPOINT/.test(message)) return `GRANT pg_checkpoint TO ${to};`;
  if (/pg_monitor|pg_read_all_settings|pg_read_all_stats|pg_stat_scan_tables/.test(message)) {
    return `GRANT pg_monitor TO ${to};`;
  }
  if (/permission denied for function pg_(ls_waldir|ls_archive_statusdir|stat_)/.test(message)) {
    return `GRANT pg_monitor TO ${to};`;
  }
  return undefined;
}

/** `GRANT EXECUTE` on one of the functions a freeze needs, with its signature. */
export function grantExecute(fn: string, role: string): string {
  return `GRANT EXECUTE ON FUNCTION pg_catalog.${fn}(${SIGNATURES[fn] ?? ''}) TO ${quote(role)};`;
}

/** An SQL identifier, always quoted. */
export function quote(identifier: string): string {
  return `"${identifier.replaceAll('"', '""')}"`;
}

function sentence(message: string): string {
  return /[.!?]$/.test(message) ? message : `${message}.`;
}

/** node-postgres reports the server's errors as `DatabaseError`; only they have a severity. */
function asServerError(error: unknown): ServerError | undefined {
  const candidate = error as (Partial<ServerError> & { severity?: string }) | undefined;
  return candidate?.severity !== undefined && typeof candidate.code === 'string'
    ? (candidate as ServerError)
    : undefined;
}
