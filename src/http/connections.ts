import type { IncomingMessage, Server, ServerResponse } from 'node:http';
import type { Socket } from 'node:net';
import type { TLSSocket } from 'node:tls';
import { QuiesceError } from '../errors.ts';
import { rawAnswer } from './raw-answer.ts';

export interface Limits {
  /** Connections kept open; beyond it the one that has been quiet longest gives way to a new one. */
  readonly most: number;
  /** Bytes of bodies that may be on their way at a time; beyond it the oldest give way. */
  readonly bodies?: number;
  /** Whether a request must never give way, whatever else waits. */
  readonly urgent?: (request: IncomingMessage) => boolean;
}

/** The kernel's queue of connections; also the most that one turn of the event loop can bring. */
export const BACKLOG = 1_024;
/** Requests of one connection that may wait for their answers: nobody who means well pipelines more. */
const MOST_PIPELINED = 4;
/** How long a client may take to read an answer that is complete. */
const READ_WITHIN_MS = 10_000;
const SWEEP_MS = 2_000;

interface Exchange {
  readonly request: IncomingMessage;
  readonly response: ServerResponse;
  answeredAt?: number;
}

interface Connection {
  socket: Socket;
  readonly exchanges: Set<Exchange>;
  /** Whether it can be written to: not before the TLS handshake. */
  open: boolean;
  /** What had been read when the last request was answered: anything more is the begin of another. */
  readBefore: number;
}

/**
 * Who is connected to a listener, quiet longest first. Whoever sits on a connection without a complete
 * request makes room for a newcomer, so nobody can lock a thaw, a probe or a scrape out by holding
 * connections. Requests that are being answered give way only to one another, newest first, and urgent
 * ones never.
 */
export class Connections {
  readonly #limits: Limits;
  readonly #connections = new Set<Connection>();
  readonly #bySocket = new WeakMap<Socket, Connection>();
  #scheduled = false;
  #closing = false;

  constructor(limits: Limits) {
    this.#limits = limits;
  }

  watch(server: Server, over: 'plain' | 'tls'): void {
    // Cheaper than a connection, and the only way to stop a storm that brings connections faster than they
    // can be looked at: what is open is bounded even within one turn of the event loop.
    server.maxConnections = 2 * this.#limits.most + BACKLOG;
    server.on('connection', (socket: Socket) => this.#add(socket, over === 'plain'));
    const sweep = setInterval(() => this.#sweep(), SWEEP_MS).unref();
    server.once('close', () => clearInterval(sweep));
  }

  /** Over TLS the requests come from another object than the connection did. */
  secured(socket: TLSSocket): void {
    const same = (connection: Connection): boolean =>
      connection.socket.remotePort === socket.remotePort &&
      connection.socket.remoteAddress === socket.remoteAddress;
    const connection = [...this.#connections].findLast(same);
    if (!connection) return;
    connection.socket = socket;
    connection.open = true;
    this.#bySocket.set(socket, connection);
  }

  /** Notes a request. @returns why it is not taken, if it is not */
  enter(request: IncomingMessage, response: ServerResponse): QuiesceError | undefined {
    const connection = this.#bySocket.get(request.socket);
    if (!connection) return undefined;
    const exchange: Exchange = { request, response };
    connection.exchanges.add(exchange);
    response.once('close', () => this.#leave(connection, exchange));
    this.#boundBodies();
    if (connection.exchanges.size <= MOST_PIPELINED) return undefined;
    request.socket.pause();
    return new QuiesceError(
      'TOO_MANY_CONNECTIONS',
      `More than ${MOST_PIPELINED} requests wait for their answers on this connection.`,
      { hint: 'Wait for an answer before the next request, or use another connection.' },
    );
  }

  /**
   * Calls back when everything that was asked on this connection before is answered; never where what
   * could not be read belongs to a request that has its answer already.
   */
  whenAnswered(socket: Socket, then: () => void): void {
    const exchanges = [...(this.#bySocket.get(socket)?.exchanges ?? [])];
    const last = exchanges.at(-1);
    if (last && !last.request.complete && last.response.headersSent) {
      last.response.once('close', () => socket.destroySoon());
      return;
    }
    const waiting = exchanges.findLast(({ request }) => request.complete);
    if (waiting) waiting.response.once('close', then);
    else then();
  }

  /** From now on only requests that are being answered keep the server from closing. */
  close(): void {
    this.#closing = true;
    for (const connection of this.#connections) if (!awaitsAnswer(connection)) this.#remove(connection);
  }

  #add(socket: Socket, open: boolean): void {
    if (this.#closing) {
      socket.destroy();
      return;
    }
    const connection: Connection = { socket, open, exchanges: new Set(), readBefore: 0 };
    this.#connections.add(connection);
    this.#bySocket.set(socket, connection);
    socket.once('close', () => this.#connections.delete(connection));
    if (this.#connections.size <= this.#limits.most || this.#scheduled) return;
    // Not now: what newcomers have sent is read in the next turn of the event loop, and until then
    // one with a thaw to ask for looks like one with nothing to say.
    this.#scheduled = true;
    setImmediate(() => setImmediate(() => this.#makeRoom()));
  }

  #leave(connection: Connection, exchange: Exchange): void {
    connection.exchanges.delete(exchange);
    connection.readBefore = connection.socket.bytesRead;
    // To the end of the line: it was not quiet.
    if (this.#connections.delete(connection)) this.#connections.add(connection);
    if (this.#closing && !awaitsAnswer(connection)) connection.socket.destroySoon();
  }

  #makeRoom(): void {
    this.#scheduled = false;
    const { most, urgent = () => false } = this.#limits;
    let surplus = this.#connections.size - most;
    for (const connection of this.#connections) {
      if (surplus <= 0) return;
      if (awaitsAnswer(connection)) continue;
      this.#remove(connection);
      surplus -= 1;
    }
    // All that is left waits for an answer. As many again may, so that only a flood is cut.
    surplus -= most;
    if (surplus <= 0) return;
    for (const connection of [...this.#connections].toReversed()) {
      if (surplus <= 0) return;
      if ([...connection.exchanges].some(({ request }) => urgent(request))) continue;
      this.#remove(connection);
      surplus -= 1;
    }
  }

  /** What has arrived of a body is kept until all of it has. */
  #boundBodies(): void {
    const { bodies } = this.#limits;
    if (bodies === undefined) return;
    let expected = 0;
    for (const connection of [...this.#connections].toReversed()) {
      const missing = [...connection.exchanges].filter(({ request }) => !request.complete);
      for (const { request } of missing) expected += sizeOf(request, bodies);
      if (missing.length > 0 && expected > bodies) this.#remove(connection);
    }
  }

  #remove(connection: Connection): void {
    this.#connections.delete(connection);
    const { socket, open, exchanges } = connection;
    const begun = [...exchanges].some(({ response }) => response.headersSent);
    const asked = socket.bytesRead > connection.readBefore;
    // Who has sent nothing expects no answer: one would be taken for that to its next request.
    if (!open || begun || !asked || socket.writableLength > 0) {
      socket.destroy();
      return;
    }
    socket.write(rawAnswer(tooMany()));
    socket.destroySoon();
  }

  /** An answer that nobody reads is kept in memory. */
  #sweep(): void {
    const now = performance.now();
    for (const { socket, exchanges } of this.#connections) {
      for (const exchange of exchanges) {
        if (!exchange.response.writableEnded) continue;
        exchange.answeredAt ??= now;
        if (now - exchange.answeredAt > READ_WITHIN_MS) socket.destroy();
      }
    }
  }
}

/** Whether somebody waits for us, and not we for somebody. */
function awaitsAnswer({ exchanges }: Connection): boolean {
  return [...exchanges].some(
    ({ request, response }) => request.complete && !response.writableEnded,
  );
}

/** A body in chunks does not say how large it is. */
function sizeOf({ headers }: IncomingMessage, bodies: number): number {
  if (headers['transfer-encoding'] !== undefined) return bodies / 16;
  return Number(headers['content-length'] ?? 0);
}

function tooMany(): QuiesceError {
  return new QuiesceError(
    'TOO_MANY_CONNECTIONS',
    'Too many connections are open, and this one had been waited for longest.',
  );
}
