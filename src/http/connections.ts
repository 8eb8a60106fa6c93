import type { IncomingMessage, Server, ServerResponse } from 'node:http';
import type { Socket } from 'node:net';
import type { TLSSocket } from 'node:tls';
import { QuiesceError } from '../errors.ts';
import { rawAnswer } from './raw-answer.ts';

export interface Limits {
  /** Connections kept open. Beyond it, the connection that has been idle longest makes way for a new one. */
  readonly most: number;
  /** Bytes of bodies that may be arriving at the same time. Beyond it, the oldest connections are closed. */
  readonly bodies?: number;
  /** Whether the connection of this request must never be closed to make room. */
  readonly urgent?: (request: IncomingMessage) => boolean;
}

/** The kernel's queue of connections, and so the most that one turn of the event loop can accept. */
export const BACKLOG = 1_024;
/** Requests of one connection that may wait for their answers. No well-behaved client pipelines more. */
const MOST_PIPELINED = 4;
/** How long a client may take to read a complete answer. */
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
  /** Whether it can be written to: over TLS only after the handshake. */
  open: boolean;
  /** Bytes read when the last request was answered. Any further bytes belong to the next request. */
  readBefore: number;
}

/**
 * The connections of a listener, the one that has been idle longest first. A connection without a complete
 * request makes way for a new one, so a client that holds connections cannot lock out a thaw, a probe or a
 * scrape. Connections that wait for an answer make way only when there are twice as many as allowed, the
 * newest first. Urgent requests never do.
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
    // Cheaper than tracking each connection, and the only defence against a storm that opens connections
    // faster than they can be examined: it bounds them even within one turn of the event loop.
    server.maxConnections = 2 * this.#limits.most + BACKLOG;
    server.on('connection', (socket: Socket) => this.#add(socket, over === 'plain'));
    const sweep = setInterval(() => this.#sweep(), SWEEP_MS).unref();
    server.once('close', () => clearInterval(sweep));
  }

  /** Takes over the TLS socket: requests refer to it, and not to the raw socket of the connection. */
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

  /** Registers a request. @returns why it is refused; `undefined`: it is accepted */
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
   * Calls back when all earlier requests of this connection are answered. Never calls back where the
   * unreadable bytes belong to a request that already has its answer.
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

  /** Closes all connections except those that wait for an answer, and these after it. */
  close(): void {
    this.#closing = true;
    for (const connection of this.#connections)
      if (!awaitsAnswer(connection)) this.#remove(connection);
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
    // Not now: the requests of new connections are read in the next turn of the event loop. Until then a
    // connection with a thaw looks like an idle one.
    this.#scheduled = true;
    setImmediate(() => setImmediate(() => this.#makeRoom()));
  }

  #leave(connection: Connection, exchange: Exchange): void {
    connection.exchanges.delete(exchange);
    connection.readBefore = connection.socket.bytesRead;
    // Move it to the end of the order: it was not idle.
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
    // The others all wait for an answer. Twice as many may do so: only a flood is cut off.
    surplus -= most;
    if (surplus <= 0) return;
    for (const connection of [...this.#connections].toReversed()) {
      if (surplus <= 0) return;
      if ([...connection.exchanges].some(({ request }) => urgent(request))) continue;
      this.#remove(connection);
      surplus -= 1;
    }
  }

  /** A body that arrives stays in memory until it is complete. */
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
    // A client that has sent nothing expects no answer, and would take one for the answer to its next request.
    if (!open || begun || !asked || socket.writableLength > 0) {
      socket.destroy();
      return;
    }
    socket.write(rawAnswer(tooMany()));
    socket.destroySoon();
  }

  /** Closes connections whose client does not read its answer: the answer would stay in memory. */
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

/** Whether the client waits for an answer, and we do not wait for the client. */
function awaitsAnswer({ exchanges }: Connection): boolean {
  return [...exchanges].some(
    ({ request, response }) => request.complete && !response.writableEnded,
  );
}

/** Bytes to expect of a body. A chunked one does not announce its size. */
function sizeOf({ headers }: IncomingMessage, bodies: number): number {
  if (headers['transfer-encoding'] !== undefined) return bodies / 16;
  return Number(headers['content-length'] ?? 0);
}

function tooMany(): QuiesceError {
  return new QuiesceError(
    'TOO_MANY_CONNECTIONS',
    'Too many connections are open, and this one had been idle longest.',
  );
}
