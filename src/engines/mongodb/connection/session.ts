import { type Document, MongoClient } from 'mongodb';
import { QuiesceError } from '../../../errors.ts';
import { unlessAborted, withDeadline } from '../../../lib/deadline.ts';
import { toEngineError } from './errors.ts';
import type { MongoSettings } from './settings.ts';

const CLOSE_WITHIN_MS = 2_000;
/** A polling monitor needs one connection; a streaming one needs a second to measure round trips. */
const SINGLE = { minPoolSize: 0, maxPoolSize: 1, serverMonitoringMode: 'poll' } as const;

/** Which server to connect to, and as whom: the configured one, or another member of its set. */
export type Destination =
  | {
      readonly settings: MongoSettings;
      /** The name under which the server lists these connections; default `quiesce`. */
      readonly appName?: string;
      /** For commands that run one after the other: one connection for them, and one for the driver's monitor. */
      readonly single?: boolean;
    }
  | { readonly settings: MongoSettings; readonly member: string; readonly anonymous: boolean };

/**
 * Authenticated connections to one server. They stay open for the whole session, so that no work on a
 * lock ever needs a new connection while the lock is held.
 */
export class Session {
  readonly target: string;
  readonly #client: MongoClient;
  readonly #settings: MongoSettings;

  private constructor(client: MongoClient, settings: MongoSettings, target: string) {
    this.#client = client;
    this.#settings = settings;
    this.target = target;
  }

  /**
   * Connects and authenticates. When the signal aborts it closes everything and rejects soon after.
   *
   * @throws QuiesceError ENGINE_UNREACHABLE, ENGINE_AUTH, ENGINE_TLS.
   */
  static async open(where: Destination, signal: AbortSignal): Promise<Session> {
    const { settings } = where;
    const target = 'member' in where ? where.member : settings.target;
    signal.throwIfAborted();
    const session = new Session(makeClient(where), settings, target);
    try {
      await session.#race('connect', signal, () => session.#client.connect());
      // The driver connects lazily: these commands make it open and authenticate the connections now.
      const ping = (): Promise<Document> => session.admin({ ping: 1 }, 'connect', signal);
      const one = 'member' in where || where.single === true;
      await Promise.all(one ? [ping()] : [ping(), ping(), ping()]);
      return session;
    } catch (error) {
      await session.close();
      throw error;
    }
  }

  /** Runs one command on the admin database. */
  admin(command: Document, doing: string, signal: AbortSignal): Promise<Document> {
    return this.command('admin', command, doing, signal);
  }

  /**
   * Runs one command. Rejects as soon as the signal aborts; the server may still execute the command.
   *
   * @param doing completes "Cannot …".
   */
  command(
    database: string,
    command: Document,
    doing: string,
    signal: AbortSignal,
  ): Promise<Document> {
    return this.#race(doing, signal, () => this.#client.db(database).command(command));
  }

  /** Like `admin`, but always waits for the end: for commands whose outcome must be known. */
  async adminToItsEnd(command: Document, doing: string): Promise<Document> {
    try {
      return await this.#client.db('admin').command(command);
    } catch (error) {
      throw this.error(error, doing);
    }
  }

  error(error: unknown, doing: string): QuiesceError {
    return toEngineError(error, { doing, target: this.target, secrets: this.#settings.secrets });
  }

  /** Never rejects. Returns after two seconds at most. */
  async close(): Promise<void> {
    await withDeadline(CLOSE_WITHIN_MS, this.#client.close()).catch(() => undefined);
  }

  async #race<T>(doing: string, signal: AbortSignal, work: () => Promise<T>): Promise<T> {
    signal.throwIfAborted();
    try {
      return await unlessAborted(work(), signal);
    } catch (error) {
      throw signal.aborted ? this.#tooLate(doing, signal) : this.error(error, doing);
    }
  }

  #tooLate(doing: string, { reason }: AbortSignal): QuiesceError {
    const timedOut = reason instanceof Error && reason.name === 'TimeoutError';
    const why = timedOut ? 'it did not answer in time' : 'the request was aborted';
    return new QuiesceError('ENGINE_UNREACHABLE', `Cannot ${doing} at ${this.target}: ${why}.`);
  }
}

function makeClient(where: Destination): MongoClient {
  const { settings } = where;
  if (!('member' in where)) {
    const { appName, single } = where;
    const named = appName === undefined ? {} : { appName };
    return new MongoClient(settings.uri, {
      ...settings.options,
      ...named,
      ...(single === true ? SINGLE : {}),
    });
  }
  const { auth: _auth, authSource: _source, ...others } = settings.options;
  const options = {
    ...(where.anonymous ? others : settings.options),
    minPoolSize: 0,
    maxPoolSize: 1,
    connectTimeoutMS: 2_000,
    serverSelectionTimeoutMS: 2_000,
  };
  return new MongoClient(uriOf(where.settings.uri, where.member, where.anonymous), options);
}

/** The same string, with the same TLS options and user, for another member of the set. */
function uriOf(uri: string, member: string, anonymous: boolean): string {
  const parts = /^mongodb:\/\/([^/]*@)?[^/?]*(.*)$/s.exec(uri);
  const user = anonymous ? '' : (parts?.[1] ?? '');
  const rest = parts?.[2] ?? '';
  const tail = anonymous
    ? rest.replaceAll(/([?&])(?:authSource|authMechanism|authMechanismProperties)=[^&]*&?/g, '$1')
    : rest;
  return `mongodb://${user}${member}${tail === '' ? '/' : tail}`;
}
