import { type Document, MongoClient } from 'mongodb';
import { QuiesceError } from '../../../errors.ts';
import { unlessAborted, withDeadline } from '../../../lib/deadline.ts';
import { toEngineError } from './errors.ts';
import type { MongoSettings } from './settings.ts';

const CLOSE_WITHIN_MS = 2_000;
/** A monitor that polls needs one connection; one that listens keeps a second to measure with. */
const SINGLE = { minPoolSize: 0, maxPoolSize: 1, serverMonitoringMode: 'poll' } as const;

/** Which server, and as whom: the sidecar's own settings, or another member of its set. */
export type Destination =
  | {
      readonly settings: MongoSettings;
      /** What the server calls its connections by; default `quiesce`. */
      readonly appName?: string;
      /** For questions asked one after the other: one connection for them, and one of the driver's own. */
      readonly single?: boolean;
    }
  | { readonly settings: MongoSettings; readonly member: string; readonly anonymous: boolean };

/**
 * Some authenticated connections to one server. They stay open for as long as the session: nothing
 * about a lock ever depends on a connection that must be made while the lock is held.
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
   * Connects and authenticates. Rejects soon after the signal aborts, with everything closed.
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
      // The driver makes connections when they are first used: these are made, and logged in, now.
      const ping = (): Promise<Document> => session.admin({ ping: 1 }, 'connect', signal);
      const one = 'member' in where || where.single === true;
      await Promise.all(one ? [ping()] : [ping(), ping(), ping()]);
      return session;
    } catch (error) {
      await session.close();
      throw error;
    }
  }

  /** One command on the admin database. */
  admin(command: Document, doing: string, signal: AbortSignal): Promise<Document> {
    return this.command('admin', command, doing, signal);
  }

  /**
   * One command. Rejects as soon as the signal aborts; the server may go on with it.
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

  /** As `admin`, but to its end, whatever happens meanwhile: for what must not be left half known. */
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

  /** Never rejects, never hangs. */
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
    const why = timedOut ? 'it did not answer in time' : 'the work was ended';
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

/** The same string (so the same TLS, the same user) for another member of the set. */
function uriOf(uri: string, member: string, anonymous: boolean): string {
  const parts = /^mongodb:\/\/([^/]*@)?[^/?]*(.*)$/s.exec(uri);
  const user = anonymous ? '' : (parts?.[1] ?? '');
  const rest = parts?.[2] ?? '';
  const tail = anonymous
    ? rest.replaceAll(/([?&])(?:authSource|authMechanism|authMechanismProperties)=[^&]*&?/g, '$1')
    : rest;
  return `mongodb://${user}${member}${tail === '' ? '/' : tail}`;
}
