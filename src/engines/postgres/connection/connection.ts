import { stat } from 'node:fs/promises';
import type { Socket } from 'node:net';
import type { Client, Connection } from 'pg';
import { QuiesceError } from '../../../errors.ts';
import { sendCancel } from './cancel-request.ts';
import type { PostgresSettings } from './settings.ts';
import { toEngineError } from './sqlstate.ts';
import { tlsOptions } from './tls.ts';
import { DirectedSocket, makeClient, makeConnection, type Target } from './client.ts';

/** One authenticated connection to whatever answers at the configured address. */
export interface Connected {
  readonly client: Client;
  readonly socket: Socket;
  /** `server_version` as the server announced it when the connection began, e.g. `17.10`. */
  readonly version: string;
  /** The process id of BackendKeyData: the server's own, unless a pooler is in between. */
  readonly announcedPid: number;
  readonly encrypted: boolean;
  /** The address, for messages: `127.0.0.1:5432` or the path of the socket. */
  readonly target: string;
  /** Asks the server to end the running statement; best effort, at most two seconds, never rejects. */
  cancel(): Promise<void>;
}

/** libpq uses the folder compiled into it. Here: Debian's first, then upstream's, then TCP. */
const SOCKET_FOLDERS = ['/var/run/postgresql', '/tmp'];

/**
 * Connects as libpq would with these settings: TLS by mode, with the second attempt that `prefer`
 * and `allow` make. Rejects soon after the signal aborts, with the socket closed.
 *
 * @throws QuiesceError ENGINE_UNREACHABLE, ENGINE_STARTING, ENGINE_AUTH, ENGINE_TLS, ENGINE_POOLER.
 */
export async function connect(settings: PostgresSettings, signal: AbortSignal): Promise<Connected> {
  const target = await findTarget(settings);
  const attempts = attemptsFor(settings, target);
  let first: QuiesceError | undefined;
  for (const encrypted of attempts) {
    try {
      return await attempt(settings, target, encrypted, signal);
    } catch (error) {
      const failure = toEngineError(error, `connect to ${target.shown}`, settingsContext(settings));
      if (first) throw bothFailed(first, failure, encrypted);
      const final = attempts.length === 1 || signal.aborted;
      if (final || (failure.code !== 'ENGINE_TLS' && failure.code !== 'ENGINE_AUTH')) throw failure;
      first = failure;
    }
  }
  throw first ?? new QuiesceError('INTERNAL', 'no way to connect was tried');
}

function settingsContext({ user, database }: PostgresSettings): { role: string; database: string } {
  return { role: user, database };
}

/** Attempts in order; `true` is with TLS. libpq: section 32.19.3, table "SSL Mode Descriptions". */
function attemptsFor({ ssl }: PostgresSettings, target: Target): readonly boolean[] {
  if (target.local || ssl.mode === 'disable') return [false];
  if (ssl.mode === 'allow') return [false, true];
  return ssl.mode === 'prefer' ? [true, false] : [true];
}

function bothFailed(first: QuiesceError, second: QuiesceError, encrypted: boolean): QuiesceError {
  // A server without TLS refused the password: then TLS is not the cause.
  const withoutTls = first.details['tlsOffered'] === false;
  const main = withoutTls || (encrypted && second.code !== 'ENGINE_TLS') ? second : first;
  const other = main === first ? second : first;
  if (main.message === other.message) return main;
  const how = encrypted === (other === second) ? 'with TLS' : 'without TLS';
  return new QuiesceError(main.code, `${main.message} Also tried ${how}: ${other.message}`, {
    hint: main.hint,
    cause: main.cause,
  });
}

async function findTarget(settings: PostgresSettings): Promise<Target> {
  const { hostaddr, port } = settings;
  const host = settings.host ?? (hostaddr === undefined ? await defaultHost(port) : undefined);
  if (host?.startsWith('/') && hostaddr === undefined) {
    const path = `${host.replace(/\/$/, '')}/.s.PGSQL.${port}`;
    return { options: { path }, shown: path, host: undefined, local: true };
  }
  const address = hostaddr ?? host ?? 'localhost';
  return {
    options: { host: address, port, autoSelectFamily: true, autoSelectFamilyAttemptTimeout: 2_000 },
    shown: address.includes(':') ? `[${address}]:${port}` : `${address}:${port}`,
    host,
    local: false,
  };
}

async function defaultHost(port: number): Promise<string> {
  for (const folder of SOCKET_FOLDERS) {
    const info = await stat(`${folder}/.s.PGSQL.${port}`).catch(() => undefined);
    if (info?.isSocket()) return folder;
  }
  return 'localhost';
}

async function attempt(
  settings: PostgresSettings,
  target: Target,
  encrypted: boolean,
  signal: AbortSignal,
): Promise<Connected> {
  signal.throwIfAborted();
  const ssl = encrypted ? await tlsOptions(settings.ssl, target.host) : undefined;
  const socket = new DirectedSocket(target.options);
  const connection = makeConnection(socket, ssl, settings);
  const client = makeClient(settings, target, connection, ssl);
  const progress = followProgress(connection, client);
  try {
    await connectWithDeadline(client, target, settings.connectTimeoutMs, signal);
  } catch (error) {
    socket.destroy();
    throw explain(error, progress, target);
  }
  const { processID = 0, secretKey = 0 } = client as unknown as {
    processID?: number;
    secretKey?: number;
  };
  return {
    client,
    socket,
    version: progress.version,
    announcedPid: processID,
    encrypted,
    target: target.shown,
    cancel: () =>
      sendCancel(
        target.options,
        { ...(ssl && { ssl }), host: target.host, direct: settings.ssl.negotiation === 'direct' },
        processID,
        secretKey,
      ),
  };
}

interface ConnectProgress {
  version: string;
  tlsBegun: boolean;
  tlsDone: boolean;
}

/** Follows, through the connection's events, how far connecting got. */
function followProgress(connection: Connection, client: Client): ConnectProgress {
  const progress: ConnectProgress = { version: '', tlsBegun: false, tlsDone: false };
  // Without this listener a lost connection would end the process.
  client.on('error', () => undefined);
  connection.on('parameterStatus', (message: { parameterName: string; parameterValue: string }) => {
    if (message.parameterName === 'server_version') progress.version = message.parameterValue;
  });
  connection.on('sslconnect', () => {
    progress.tlsBegun = true;
    connection.stream.once('secureConnect', () => {
      progress.tlsDone = true;
    });
  });
  return progress;
}

function explain(error: unknown, progress: ConnectProgress, target: Target): unknown {
  if (error instanceof QuiesceError) return error;
  const message = (error as Error).message;
  const refused = /does not support SSL|error establishing an SSL/.test(message);
  if (refused || (progress.tlsBegun && !progress.tlsDone)) {
    const why = refused ? 'the server does not offer TLS' : `the handshake failed: ${message}`;
    return new QuiesceError('ENGINE_TLS', `connect to ${target.shown}: ${why}.`, {
      cause: error,
      details: { tlsOffered: !refused },
    });
  }
  if (/Unknown authenticationOk message type/.test(message)) {
    return new QuiesceError(
      'ENGINE_AUTH',
      `connect to ${target.shown}: the server asks for an authentication method that quiesce does not support.`,
      {
        hint: 'Configure scram-sha-256 or a client certificate for this role in pg_hba.conf.',
        cause: error,
      },
    );
  }
  return error;
}

/**
 * Settles as soon as the connection succeeds or fails, the time limit passes, or the signal aborts.
 */
async function connectWithDeadline(
  client: Client,
  target: Target,
  limitMs: number,
  signal: AbortSignal,
): Promise<void> {
  let timer: NodeJS.Timeout | undefined;
  let onAbort = (): void => undefined;
  const ended = new Promise<never>((_resolve, reject) => {
    onAbort = () => {
      reject(
        new QuiesceError(
          'ENGINE_UNREACHABLE',
          `connect to ${target.shown}: the attempt was cancelled before the server answered.`,
          { cause: signal.reason },
        ),
      );
    };
    signal.addEventListener('abort', onAbort, { once: true });
    if (limitMs > 0) {
      timer = setTimeout(() => {
        reject(
          new QuiesceError(
            'ENGINE_UNREACHABLE',
            `connect to ${target.shown}: no answer within ${limitMs / 1000} s (PGCONNECT_TIMEOUT).`,
          ),
        );
      }, limitMs);
    }
  });
  const connected = client.connect();
  connected.catch(() => undefined);
  try {
    await Promise.race([connected, ended]);
  } finally {
    clearTimeout(timer);
    signal.removeEventListener('abort', onAbort);
  }
}
