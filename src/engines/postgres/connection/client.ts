import { Socket, type SocketConnectOpts } from 'node:net';
import type { ConnectionOptions, TLSSocket } from 'node:tls';
import { Client, type ClientConfig, Connection, type ConnectionConfig, types as pgTypes } from 'pg';
import { QuiesceError } from '../../../errors.ts';
import { findPassword } from './passfile.ts';
import type { PostgresSettings } from './settings.ts';

/** Where to connect to. */
export interface Target {
  readonly options: SocketConnectOpts;
  readonly shown: string;
  /** The name for TLS, where there is one. */
  readonly host: string | undefined;
  readonly local: boolean;
}

/** node-postgres only knows host and port: this socket goes where it was told to at birth. */
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

/** A connection of node-postgres over this socket that fails where the library would throw in an event. */
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
  // The parser throws on messages it does not know, which inside a data event ends the process.
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

/** A client of node-postgres that takes nothing from this process's environment. */
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
    // For a Unix socket the path is the socket's own; this only keeps node-postgres from TCP names.
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
  // node-postgres falls back to this process's PGOPTIONS and PGREPLICATION by itself.
  const inner = client as unknown as { connectionParameters: Record<string, unknown> };
  inner.connectionParameters['options'] = undefined;
  inner.connectionParameters['replication'] = undefined;
  return client;
}

/** date, timestamp, timestamptz, interval: as the server prints them, for a Date loses microseconds. */
const AS_TEXT: ReadonlySet<number> = new Set([1082, 1114, 1184, 1186]);

function getTypeParser(oid: number, format?: 'text' | 'binary'): unknown {
  if (AS_TEXT.has(oid)) return (value: string) => value;
  const parser = pgTypes.getTypeParser as (oid: number, format?: string) => unknown;
  return parser(oid, format);
}
