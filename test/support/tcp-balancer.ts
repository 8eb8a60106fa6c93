import { once } from 'node:events';
import { connect, createServer, type Server, type Socket } from 'node:net';

/** Does for its port what kube-proxy does for a Service: spreads new connections over the available endpoints. */
export class Balancer {
  readonly #server: Server;
  readonly #sockets = new Set<Socket>();
  #ports: readonly number[] = [];
  #next = 0;

  private constructor(server: Server) {
    this.#server = server;
    server.on('connection', (socket) => {
      this.#pass(socket, this.#ports.length);
    });
  }

  static async listen(): Promise<Balancer> {
    const server = createServer({ pauseOnConnect: true }).listen(0, '127.0.0.1');
    await once(server, 'listening');
    return new Balancer(server);
  }

  get port(): number {
    const address = this.#server.address();
    return typeof address === 'object' ? (address?.port ?? 0) : 0;
  }

  to(...ports: readonly number[]): void {
    this.#ports = ports;
  }

  async close(): Promise<void> {
    this.#server.close();
    for (const socket of this.#sockets) socket.destroy();
    await once(this.#server, 'close');
  }

  #pass(client: Socket, triesLeft: number): void {
    const port = this.#ports[this.#next++ % Math.max(1, this.#ports.length)];
    if (port === undefined || triesLeft === 0) {
      client.destroy();
      return;
    }
    const endpoint = connect(port, '127.0.0.1');
    endpoint.once('error', () => this.#pass(client, triesLeft - 1));
    endpoint.once('connect', () => {
      endpoint.removeAllListeners('error');
      for (const socket of [client, endpoint]) {
        this.#sockets.add(socket);
        socket.on('error', () => socket.destroy());
        socket.on('close', () => this.#sockets.delete(socket));
      }
      client.pipe(endpoint).pipe(client);
      client.on('close', () => endpoint.destroy());
      endpoint.on('close', () => client.destroy());
    });
  }
}
