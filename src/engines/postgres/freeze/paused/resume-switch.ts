import { setTimeout as sleep } from 'node:timers/promises';
import type { Session } from '../../connection/session.ts';
import { type Backend, endBackend, RESUME_SWITCH, thisBackend } from './pause.ts';

/** How long after the end of the lease the server resumes replay. */
const GRACE_MS = 30_000;
const LOOK_EVERY_MS = 10;

/**
 * The server's own dead-man's switch for a pause, which PostgreSQL does not have: a second session
 * whose one statement sleeps past the lease and then resumes replay. It is set not to notice that
 * its client is gone, so it also fires when the sidecar or its whole host is gone.
 */
export class ResumeSwitch {
  readonly #backend: Backend;
  readonly #session: Session;
  readonly #end = new AbortController();

  private constructor(session: Session, backend: Backend) {
    this.#session = session;
    this.#backend = backend;
  }

  /**
   * @param witness another session, which sees that the switch runs.
   * @param forMs from now until the end of the lease.
   */
  static async arm(
    open: (signal: AbortSignal) => Promise<Session>,
    witness: Session,
    forMs: number,
    signal: AbortSignal,
  ): Promise<ResumeSwitch> {
    const session = await open(signal);
    try {
      await session.query(`SET application_name = '${RESUME_SWITCH}'`, [], signal);
      const backend = await thisBackend(session, signal);
      if (session.major >= 14) {
        await session.query('SET client_connection_check_interval = 0', [], signal);
      }
      const resumeSwitch = new ResumeSwitch(session, backend);
      resumeSwitch.#run((forMs + GRACE_MS) / 1_000);
      await resumeSwitch.#waitUntilRunning(witness, signal).catch((error: unknown) => {
        // Nothing would track this switch any more, so cancel its statement.
        resumeSwitch.#end.abort();
        throw error;
      });
      return resumeSwitch;
    } catch (error) {
      await session.close();
      throw error;
    }
  }

  /**
   * Its session ended other than by us, as when an administrator terminates the sessions of our
   * role.
   */
  get lost(): boolean {
    return this.#session.lost.aborted;
  }

  /** Ends it on the server for good: one that fired later would resume another session's pause. */
  async disarm(witness: Session, signal: AbortSignal): Promise<void> {
    await endBackend(witness, this.#backend, signal);
    await this.close();
  }

  /** Closes our session, once the server's process is gone. */
  async close(): Promise<void> {
    await this.#session.close();
  }

  /** One statement: between two, the server would notice that the client is gone. */
  #run(seconds: number): void {
    this.#session
      .query(
        `SELECT CASE WHEN pg_catalog.pg_sleep($1::float8)::text IS NOT NULL AND pg_catalog.pg_is_in_recovery()
                     THEN pg_catalog.pg_wal_replay_resume()::text END`,
        [seconds],
        this.#end.signal,
      )
      .catch(() => undefined);
  }

  async #waitUntilRunning(witness: Session, signal: AbortSignal): Promise<void> {
    for (;;) {
      const rows = await witness.query(
        `SELECT FROM pg_catalog.pg_stat_activity WHERE pid = $1 AND wait_event = 'PgSleep'`,
        [this.#backend.pid],
        signal,
      );
      if (rows.length > 0) return;
      await sleep(LOOK_EVERY_MS, undefined, { signal });
    }
  }
}
