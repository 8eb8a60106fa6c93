import type { QueryConfig } from 'pg';
import { QuiesceError } from '../../../errors.ts';
import { type Connected, connect } from './connection.ts';
import type { PostgresSettings } from './settings.ts';
import { toEngineError } from './sqlstate.ts';

/** The versions on which the engine was measured. */
export const SUPPORTED_MAJORS = { from: 13, to: 18 } as const;

/** How long a clean close may take before the socket is destroyed. */
const CLOSE_WITHIN_MS = 1_000;

/**
 * One direct connection to one server process. Its settings override any server configuration that
 * would end it or change its results. Statements run one after another.
 *
 * Values arrive as node-postgres makes them, except that int8, numeric, pg_lsn and every date or
 * time are strings.
 */
export class Session {
  readonly serverVersionNum: number;
  /** e.g. `17.10`. */
  readonly version: string;
  readonly major: number;
  /** The server process; the same number as `pg_backend_pid()`. */
  readonly pid: number;
  /** The role whose privileges are checked. */
  readonly role: string;
  readonly database: string;
  readonly encrypted: boolean;
  readonly #connected: Connected;
  readonly #lost = new AbortController();
  #tail: Promise<unknown> = Promise.resolve();
  #cancelled: Promise<void> = Promise.resolve();
  #closing = false;
  #waitsInTransaction = false;

  private constructor(connected: Connected, settings: PostgresSettings, versionNum: number) {
    this.#connected = connected;
    this.serverVersionNum = versionNum;
    this.version = connected.version.split(' ')[0] ?? connected.version;
    this.major = Math.floor(versionNum / 10_000);
    this.pid = connected.announcedPid;
    this.role = settings.user;
    this.database = settings.database;
    this.encrypted = connected.encrypted;
    connected.client.on('error', (error) => this.#die(this.#asError(error, 'the connection')));
    connected.client.on('end', () =>
      this.#die(
        new QuiesceError('ENGINE_UNREACHABLE', `The connection to ${connected.target} has ended.`),
      ),
    );
  }

  /**
   * Connects, refuses a pooler and an unsupported version, and prepares the session.
   *
   * @throws QuiesceError what `connect` throws, ENGINE_VERSION, ENGINE_POOLER.
   */
  static async open(settings: PostgresSettings, signal: AbortSignal): Promise<Session> {
    const connected = await connect(settings, signal);
    let session: Session | undefined;
    try {
      session = new Session(
        connected,
        settings,
        versionNumber(connected.version, connected.target),
      );
      await session.#refusePooler(signal);
      await session.#prepare(signal);
      return session;
    } catch (error) {
      await session?.close();
      connected.socket.destroy();
      throw error;
    }
  }

  /** Aborts, with a `QuiesceError` as reason, when the session ends other than by `close`. */
  get lost(): AbortSignal {
    return this.#lost.signal;
  }

  /**
   * Runs one statement. When the signal aborts, it rejects at once, asks the server to cancel the
   * statement, and destroys the connection, because its state is no longer known. The session is
   * then lost.
   *
   * @throws QuiesceError an `ENGINE_…` code.
   */
  async query<T = Record<string, unknown>>(
    sql: string,
    params: readonly unknown[],
    signal: AbortSignal,
  ): Promise<T[]> {
    return await this.#next(() => this.#runOutside<T>(sql, params, signal));
  }

  /**
   * As `query`, for text that is not ours: the extended protocol refuses a second statement, which could end
   * the transaction that holds the first one back.
   */
  async querySingle<T = Record<string, unknown>>(sql: string, signal: AbortSignal): Promise<T[]> {
    return await this.#next(() => this.#run<T>(sql, 'single', signal));
  }

  /**
   * From now on the session waits inside a transaction between two statements, but runs none in it: within
   * one transaction PostgreSQL 13 returns the same `pg_stat_activity` again and again (measured on 13.23).
   */
  async waitInTransaction(signal: AbortSignal): Promise<void> {
    await this.#next(async () => {
      if (this.#waitsInTransaction) return;
      await this.#run('BEGIN', [], signal);
      this.#waitsInTransaction = true;
    });
  }

  async #next<T>(task: () => Promise<T>): Promise<T> {
    const turn = this.#tail.then(task);
    this.#tail = turn.catch(() => undefined);
    return await turn;
  }

  async #runOutside<T>(sql: string, params: readonly unknown[], signal: AbortSignal): Promise<T[]> {
    if (!this.#waitsInTransaction) return await this.#run<T>(sql, params, signal);
    await this.#run('COMMIT', [], signal);
    try {
      return await this.#run<T>(sql, params, signal);
    } finally {
      // Where the session is lost, the error of the statement says why.
      if (!this.lost.aborted && !this.#closing) await this.#run('BEGIN', [], signal);
    }
  }

  async #run<T>(
    sql: string,
    params: readonly unknown[] | 'single',
    signal: AbortSignal,
  ): Promise<T[]> {
    if (this.lost.aborted) throw this.lost.reason;
    if (this.#closing) throw new QuiesceError('ENGINE_UNREACHABLE', 'The connection was closed.');
    const step = stepOf(sql);
    if (signal.aborted) throw givenUp(step, signal);
    let onAbort = (): void => undefined;
    const ended = new Promise<never>((_resolve, reject) => {
      onAbort = () => {
        reject(givenUp(step, signal));
        this.#cut(
          new QuiesceError(
            'ENGINE_UNREACHABLE',
            `The connection was closed because ${step} was cancelled.`,
          ),
        );
      };
      signal.addEventListener('abort', onAbort, { once: true });
    });
    // Without parameters node-postgres uses the simple protocol, which accepts several statements.
    const { client } = this.#connected;
    const extended: QueryConfig & { queryMode: string } = { text: sql, queryMode: 'extended' };
    const values = params === 'single' || params.length === 0 ? undefined : [...params];
    const answered = params === 'single' ? client.query(extended) : client.query(sql, values);
    answered.catch(() => undefined);
    try {
      const result = await Promise.race([answered, ended]);
      return (Array.isArray(result) ? result.at(-1) : result).rows as T[];
    } catch (error) {
      throw this.#asError(error, step);
    } finally {
      signal.removeEventListener('abort', onAbort);
    }
  }

  /**
   * Closes the session. Never throws, and takes at most about two seconds whatever the server does.
   */
  async close(): Promise<void> {
    this.#closing = true;
    const { client, socket } = this.#connected;
    const timer = setTimeout(() => socket.destroy(), CLOSE_WITHIN_MS);
    await Promise.race([
      client.end().catch(() => undefined),
      new Promise((resolve) => socket.once('close', resolve)),
      new Promise((resolve) => setTimeout(resolve, CLOSE_WITHIN_MS + 100).unref()),
    ]);
    clearTimeout(timer);
    socket.destroy();
    await this.#cancelled;
  }

  #cut(reason: QuiesceError): void {
    this.#cancelled = this.#connected.cancel();
    this.#die(reason);
    this.#connected.socket.destroy();
  }

  #die(reason: QuiesceError): void {
    if (!this.#closing && !this.lost.aborted) this.#lost.abort(reason);
  }

  #asError(error: unknown, what: string): QuiesceError {
    return toEngineError(error, what, { role: this.role, database: this.database });
  }

  /** A pooler announces a process id of its own, or that of another connection. */
  async #refusePooler(signal: AbortSignal): Promise<void> {
    const { announcedPid, target } = this.#connected;
    const rows = await this.query<{ pid: number }>(
      'SELECT pg_catalog.pg_backend_pid() AS pid',
      [],
      signal,
    ).catch((error: unknown) => {
      if (
        error instanceof QuiesceError &&
        /invalid command|not allowed|unsupported pkt/i.test(error.message)
      )
        throw poolerAt(target, error);
      throw error;
    });
    if (rows[0]?.pid !== announcedPid) throw poolerAt(target);
  }

  /** `SET` needs no snapshot, so it works at any default isolation level. */
  async #prepare(signal: AbortSignal): Promise<void> {
    const off = ['statement_timeout', 'lock_timeout', 'idle_in_transaction_session_timeout'];
    if (this.major >= 14) off.push('idle_session_timeout');
    if (this.major >= 17) off.push('transaction_timeout');
    const statements = [
      ...off.map((name) => `SET ${name} = 0`),
      `SET search_path = pg_catalog, pg_temp`,
      `SET default_transaction_isolation = 'read committed'`,
      `SET default_transaction_read_only = off`,
      `SET client_encoding = 'UTF8'`,
      `SET client_min_messages = warning`,
      `SET DateStyle = 'ISO, MDY'`,
      `SET bytea_output = hex`,
      `SET jit = off`,
    ];
    await this.query(statements.join('; '), [], signal);
    // Ends a statement whose client is gone. The check needs a system call that some platforms
    // lack.
    if (this.major >= 14) {
      await this.query(`SET client_connection_check_interval = '1s'`, [], signal).catch(
        (error: unknown) => {
          if (this.lost.aborted || signal.aborted) throw error;
        },
      );
    }
  }
}

function givenUp(step: string, signal: AbortSignal): QuiesceError {
  return new QuiesceError('ENGINE_FAILED', `${step} was cancelled before the server answered.`, {
    cause: signal.reason,
  });
}

/** A short name for a statement: the function it calls, or its first words. */
function stepOf(sql: string): string {
  const called =
    /\b(pg_(?:backup|start_backup|stop_backup|logical_emit|wal_replay|create_)\w*)\s*\(/.exec(
      sql,
    )?.[1];
  return called ?? sql.trim().split(/\s+/, 3).join(' ');
}

function poolerAt(target: string, cause?: unknown): QuiesceError {
  return new QuiesceError(
    'ENGINE_POOLER',
    `A connection pooler answers at ${target}, not a PostgreSQL server.`,
    {
      hint: 'A freeze needs its own server process: set PGHOST and PGPORT to the server (5432), not to the pooler.',
      ...(cause === undefined ? {} : { cause }),
    },
  );
}

function versionNumber(announced: string, target: string): number {
  // PgBouncer's own console announces `1.18.0/bouncer`.
  if (/bouncer|pgpool/i.test(announced)) throw poolerAt(target);
  const [, major = '0', minor = '0'] = /^(\d+)(?:\.(\d+))?/.exec(announced) ?? [];
  const [from, to] = [SUPPORTED_MAJORS.from, SUPPORTED_MAJORS.to];
  if (Number(major) < from || Number(major) > to) {
    const shown = announced === '' ? 'does not announce its version' : `is PostgreSQL ${announced}`;
    throw new QuiesceError(
      'ENGINE_VERSION',
      `The server ${shown}; quiesce supports ${from} to ${to}.`,
    );
  }
  return Number(major) * 10_000 + Number(minor);
}
