import { once } from 'node:events';
import { createConnection, createServer, type Server, type Socket } from 'node:net';

/** A port of its own that leads to a server on 127.0.0.1, and whose connections can be reset. */
export class Relay {
  readonly #to: () => number;
  readonly #sockets = new Set<Socket>();
  #server: Server | undefined;
  port = 0;

  private constructor(to: () => number) {
    this.#to = to;
  }

  /** @param to the server's port, asked at each connection. */
  static async to(to: () => number): Promise<Relay> {
    const relay = new Relay(to);
    await relay.open();
    return relay;
  }

  /** Listens, on the port it had before. */
  async open(): Promise<void> {
    if (this.#server) return;
    const server = createServer((near) => this.#accept(near));
    server.listen(this.port, '127.0.0.1');
    await once(server, 'listening');
    this.#server = server;
    this.port = (server.address() as { port: number }).port;
  }

  /** Resets all connections; new ones are taken. */
  reset(): void {
    for (const socket of this.#sockets) socket.resetAndDestroy();
    this.#sockets.clear();
  }

  /** As the port of a server that is gone: connections are reset, new ones refused. */
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
