import { readFile } from 'node:fs/promises';
import type { ConnectionOptions } from 'node:tls';
import { Redis } from 'ioredis';
import { QuiesceError } from '../../../errors.ts';
import { RefusedError, toEngineError } from './replies.ts';
import type { RedisSettings, RedisTls } from './settings.ts';

/**
 * One direct connection to one server: no reconnect, no queue, no resending. The server may have
 * executed a command that was sent but not answered.
 */
export class Session {
  /** The user whose ACL applies to the commands. */
  readonly user: string;
  /** `host:port` or the path of the socket. */
  readonly target: string;
  /** The server's run_id, once read. It stays true, since a connection does not outlive the process. */
  runId: string | undefined;
  readonly #redis: Redis;
  readonly #renamed: ReadonlyMap<string, string>;
  readonly #lost = new AbortController();

  private constructor(redis: Redis, settings: RedisSettings) {
    this.#redis = redis;
    this.#renamed = settings.renamed;
    this.user = settings.username ?? 'default';
    this.target = settings.socket ?? `${settings.host}:${settings.port}`;
    redis.on('error', (error: Error) => this.#lose(error));
    redis.on('close', () => this.#lose(new Error('the connection was closed')));
    redis.on('end', () => this.#lose(new Error('the connection has ended')));
  }

  /** Connects and authenticates. @throws QuiesceError ENGINE_UNREACHABLE, ENGINE_AUTH, ENGINE_TLS */
  static async open(settings: RedisSettings, signal: AbortSignal): Promise<Session> {
    signal.throwIfAborted();
    const tls = settings.tls ? await tlsOptions(settings.tls, settings.host) : undefined;
    const session = new Session(new Redis(redisOptions(settings, tls)), settings);
    try {
      await session.#withDeadline(session.#redis.connect(), signal, settings.connectTimeoutMs);
      await session.#authenticate(settings, signal);
      return session;
    } catch (error) {
      const lost: unknown = session.lost.aborted ? session.lost.reason : error;
      session.close();
      throw lost instanceof QuiesceError ? lost : connectError(error, session.target);
    }
  }

  /** Aborts with the reason when the connection is gone. */
  get lost(): AbortSignal {
    return this.#lost.signal;
  }

  /**
   * Sends one command and returns its reply. An abort closes the connection, because it is then
   * unknown whether the server executed the command.
   *
   * @throws RefusedError where the server does not let this user run the command.
   */
  async call(
    signal: AbortSignal,
    command: string,
    ...args: readonly (string | number)[]
  ): Promise<unknown> {
    const name =
      args[0] !== undefined && /^(?:config|client|pubsub|acl|module)$/i.test(command)
        ? `${command} ${args[0]}`.toUpperCase()
        : command.toUpperCase();
    const sent = this.#renamed.get(command.toLowerCase()) ?? command;
    return await this.#send(name, signal, () => this.#redis.call(sent, ...args));
  }

  /** Like `call`, but returns `null` where the server refuses the command. */
  async ask(
    signal: AbortSignal,
    command: string,
    ...args: readonly (string | number)[]
  ): Promise<unknown> {
    try {
      return await this.call(signal, command, ...args);
    } catch (error) {
      if (error instanceof RefusedError) return null;
      throw error;
    }
  }

  /** Like `call`, for values that may be binary: each byte becomes one character. */
  async bytes(signal: AbortSignal, command: string, ...args: readonly string[]): Promise<unknown> {
    const reply = await this.#send(command, signal, () => this.#redis.callBuffer(command, ...args));
    const plain = (value: unknown): unknown =>
      Array.isArray(value)
        ? value.map(plain)
        : Buffer.isBuffer(value)
          ? value.toString('latin1')
          : value;
    return plain(reply);
  }

  close(): void {
    // Marked lost now: the client reports it only later, and would be used again until then.
    this.#lose(new Error('the connection was closed'));
    this.#redis.disconnect();
  }

  #lose(error: unknown): void {
    this.#lost.abort(connectError(error, this.target));
  }

  async #send(name: string, signal: AbortSignal, send: () => Promise<unknown>): Promise<unknown> {
    signal.throwIfAborted();
    if (this.#lost.signal.aborted) throw this.#lost.signal.reason;
    try {
      return await this.#withDeadline(send(), signal);
    } catch (error) {
      if (error instanceof Error && error.name === 'ReplyError')
        throw toEngineError(error, name, this.user);
      // Without a reply the connection is unusable, whatever state the client reports.
      const given = error instanceof QuiesceError;
      if (!given) this.#lose(error);
      throw given ? error : this.#lost.signal.reason;
    }
  }

  async #authenticate({ username, password }: RedisSettings, signal: AbortSignal): Promise<void> {
    if (password === undefined) return;
    try {
      await this.call(signal, 'AUTH', ...(username === undefined ? [] : [username]), password);
    } catch (error) {
      // A server without a password accepts every client; commands that it refuses fail on their own.
      const message = error instanceof QuiesceError ? error.message : '';
      if (username !== undefined || !/without any password configured/.test(message)) throw error;
    }
  }

  async #withDeadline<T>(work: Promise<T>, signal: AbortSignal, limitMs?: number): Promise<T> {
    work.catch(() => undefined);
    let timer: NodeJS.Timeout | undefined;
    let onAbort = (): void => undefined;
    const ended = new Promise<never>((_resolve, reject) => {
      onAbort = () => {
        reject(
          new QuiesceError(
            'ENGINE_UNREACHABLE',
            `${this.target} did not answer before the command was given up.`,
            {
              cause: signal.reason,
            },
          ),
        );
        this.close();
      };
      signal.addEventListener('abort', onAbort, { once: true });
      if (limitMs === undefined) return;
      timer = setTimeout(() => {
        reject(
          new QuiesceError(
            'ENGINE_UNREACHABLE',
            `connect to ${this.target}: no answer within ${limitMs / 1_000} s.`,
          ),
        );
      }, limitMs);
    });
    try {
      return await Promise.race([work, ended]);
    } finally {
      clearTimeout(timer);
      signal.removeEventListener('abort', onAbort);
    }
  }
}

function redisOptions(settings: RedisSettings, tls: ConnectionOptions | undefined) {
  const { host, port, socket, connectTimeoutMs } = settings;
  return {
    ...(socket === undefined ? { host, port } : { path: socket }),
    ...(tls ? { tls } : {}),
    connectTimeout: connectTimeoutMs,
    lazyConnect: true,
    // HELLO, CLIENT SETINFO and SELECT would each need another grant.
    protocol: 2 as const,
    disableClientInfo: true,
    enableReadyCheck: false,
    enableOfflineQueue: false,
    autoResendUnfulfilledCommands: false,
    autoResubscribe: false,
    maxRetriesPerRequest: 0,
    retryStrategy: () => null,
    reconnectOnError: null,
  };
}

/** Whether nothing listens at the server's address: the process is gone, and so is its hold. */
export function isServerGone(error: unknown): boolean {
  const cause = error instanceof QuiesceError ? error.cause : error;
  const code = (cause as NodeJS.ErrnoException | undefined)?.code;
  return code === 'ECONNREFUSED' || code === 'ENOENT';
}

function connectError(error: unknown, target: string): QuiesceError {
  if (error instanceof QuiesceError) return error;
  const { message = String(error), code = '' } = error as { message?: string; code?: string };
  const tls = /^(?:ERR_(?:TLS|SSL|OSSL)|CERT_|DEPTH_|SELF_SIGNED|UNABLE_TO|EPROTO)|HOSTNAME/.test(
    code,
  );
  return new QuiesceError(
    tls ? 'ENGINE_TLS' : 'ENGINE_UNREACHABLE',
    `connect to ${target}: ${message.replace(/\.$/, '')}.`,
    { cause: error },
  );
}

async function tlsOptions(tls: RedisTls, host: string): Promise<ConnectionOptions> {
  const [ca, cert, key] = await Promise.all([
    pem('REDIS_TLS_CA', tls.ca),
    pem('REDIS_TLS_CERT', tls.cert),
    pem('REDIS_TLS_KEY', tls.key),
  ]);
  const name = tls.serverName ?? host;
  return {
    ...(ca === undefined ? {} : { ca }),
    ...(cert === undefined ? {} : { cert }),
    ...(key === undefined ? {} : { key }),
    ...(/^[\d.]+$|:/.test(name) ? {} : { servername: name }),
    rejectUnauthorized: tls.verify !== 'none',
    ...(tls.verify === 'ca' ? { checkServerIdentity: () => undefined } : {}),
  };
}

/** PEM text, given directly (`NAME_FILE` is already resolved) or as the path of a file. */
async function pem(name: string, value: string | undefined): Promise<string | undefined> {
  if (value === undefined || value.includes('-----BEGIN')) return value;
  try {
    return await readFile(value, 'utf8');
  } catch (error) {
    const code = (error as NodeJS.ErrnoException).code ?? 'unknown';
    throw new QuiesceError('ENGINE_TLS', `${name}: ${value} cannot be read (${code}).`, {
      cause: error,
    });
  }
}
