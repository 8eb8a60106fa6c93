import { once } from 'node:events';
import { createConnection, createServer, type Server, type Socket } from 'node:net';

/** Forwards a port to a server on 127.0.0.1. Its connections can be reset. */
export class Relay {
  readonly #to: () => number;
  readonly #sockets = new Set<Socket>();
  #server: Server | undefined;
  port = 0;

  private constructor(to: () => number) {
    this.#to = to;
  }

  /** @param to returns the server's port; called for each connection */
  static async to(to: () => number): Promise<Relay> {
    const relay = new Relay(to);
    await relay.open();
    return relay;
  }

  /** Listens; after `close`, on the same port as before. */
  async open(): Promise<void> {
    if (this.#server) return;
    const server = createServer((near) => this.#accept(near));
    server.listen(this.port, '127.0.0.1');
    await once(server, 'listening');
    this.#server = server;
    this.port = (server.address() as { port: number }).port;
  }

  /** Resets all connections, and still accepts new ones. */
  reset(): void {
    for (const socket of this.#sockets) socket.resetAndDestroy();
    this.#sockets.clear();
  }

  /** Behaves as the port of a stopped server: resets connections and refuses new ones. */
  async close(): Promise<void> {
    const server = this.#server;
    this.#server = undefined;
    const closed = server && once(server, 'close');
    server?.close();
    this.reset();
    await closed;
  }

  #accept(near: Socket): void {
    const far = createConnection({ host: '127.0.0.1', port: this.#to() });
    for (const [one, other] of [
      [near, far],
      [far, near],
    ] as const) {
      this.#sockets.add(one);
      one.on('error', () => other.resetAndDestroy());
      one.on('close', () => {
        this.#sockets.delete(one);
        other.destroy();
      });
      one.pipe(other);
    }
  }
}
