import { Socket, type SocketConnectOpts } from 'node:net';
import type { ConnectionOptions, TLSSocket } from 'node:tls';
import { Client, type ClientConfig, Connection, type ConnectionConfig, types as pgTypes } from 'pg';
import { QuiesceError } from '../../../errors.ts';
import { findPassword } from './passfile.ts';
import type { PostgresSettings } from './settings.ts';

/** Where to connect. */
export interface Target {
  readonly options: SocketConnectOpts;
  readonly shown: string;
  /** The host name for TLS, if there is one. */
  readonly host: string | undefined;
  readonly local: boolean;
}

/**
 * A socket that connects to the address given to its constructor: node-postgres knows only host and
 * port.
 */
export class DirectedSocket extends Socket {
  readonly #options: SocketConnectOpts;

  constructor(options: SocketConnectOpts) {
    super();
    this.#options = options;
  }

  override connect(): this {
    return super.connect(this.#options);
  }
}

/**
 * A node-postgres connection over this socket. It emits `error` where the library would throw
 * inside an event.
 */
export function makeConnection(
  socket: Socket,
  ssl: ConnectionOptions | undefined,
  settings: PostgresSettings,
): Connection {
  const connection = new Connection({
    stream: socket,
    ssl: ssl ?? false,
    sslNegotiation: settings.ssl.negotiation,
    keepAlive: true,
    keepAliveInitialDelayMillis: 30_000,
  } as unknown as ConnectionConfig);
  const inner = connection as unknown as { attachListeners(stream: Socket | TLSSocket): void };
  const attach = inner.attachListeners.bind(connection);
  // The parser throws on unknown messages, which would end the process inside a data event.
  inner.attachListeners = (stream) =>
    attach(guarded(stream, (error) => connection.emit('error', error)));
  return connection;
}

function guarded(stream: Socket | TLSSocket, fail: (error: unknown) => void): Socket {
  const on = (event: string, listener: (...args: unknown[]) => void): unknown =>
    stream.on(event, (...args: unknown[]) => {
      try {
        listener(...args);
      } catch (error) {
        stream.destroy();
        fail(error);
      }
    });
  return { on } as unknown as Socket;
}

/** A node-postgres client that takes nothing from this process's environment. */
export function makeClient(
  settings: PostgresSettings,
  target: Target,
  connection: Connection,
  ssl: ConnectionOptions | undefined,
): Client {
  const { host } = target.options as { host?: string };
  const config = {
    connection,
    ssl: ssl ?? false,
    sslnegotiation: settings.ssl.negotiation === 'direct' && ssl ? 'direct' : 'postgres',
    // The socket already knows its path. For a Unix socket this only stops node-postgres from using
    // TCP names.
    host: target.host ?? host ?? 'localhost',
    port: settings.port,
    user: settings.user,
    database: settings.database,
    application_name: settings.applicationName,
    password: async () => {
      const { password, detail } = await findPassword(settings);
      if (password !== undefined) return password;
      throw new QuiesceError(
        'ENGINE_AUTH',
        `connect to ${target.shown}: the server asks for a password, and ${detail}.`,
        {
          hint: 'Set PGPASSWORD, or PGPASSFILE.',
        },
      );
    },
    types: { getTypeParser },
  };
  const client = new Client(config as unknown as ClientConfig);
  // node-postgres would fall back to this process's PGOPTIONS and PGREPLICATION.
  const inner = client as unknown as { connectionParameters: Record<string, unknown> };
  inner.connectionParameters['options'] = undefined;
  inner.connectionParameters['replication'] = undefined;
  return client;
}

/**
 * date, timestamp, timestamptz, interval: kept as the server prints them, because a Date loses
 * microseconds.
 */
const AS_TEXT: ReadonlySet<number> = new Set([1082, 1114, 1184, 1186]);

function getTypeParser(oid: number, format?: 'text' | 'binary'): unknown {
  if (AS_TEXT.has(oid)) return (value: string) => value;
  const parser = pgTypes.getTypeParser as (oid: number, format?: string) => unknown;
  return parser(oid, format);
}
