import { createConnection, createServer, type Server, type Socket } from 'node:net';
import { once } from 'node:events';
import type { Wire } from './engine.ts';

interface Pair {
  readonly near: Socket;
  readonly far: Socket;
  /** The server process of the connection, once the server has reported it. */
  process: number | undefined;
  freezes: boolean;
  awaited: string | undefined;
}

/**
 * The network between sidecar and server, which can be cut. `silent`: nothing passes, not even the end of
 * a connection, until the link is repaired; then everything passes, as TCP retransmits what was lost.
 * `reset`: open and new connections are reset.
 */
export class Link {
  readonly #server: Server;
  readonly #port: number;
  readonly #wire: Wire;
  readonly #pairs = new Set<Pair>();
  #mode: 'whole' | 'silent' | 'reset' = 'whole';
  /** Called at each step seen on the wire, before the bytes are forwarded. */
  onStep: (name: string) => void = () => undefined;

  private constructor(port: number, wire: Wire) {
    this.#port = port;
    this.#wire = wire;
    this.#server = createServer({ allowHalfOpen: true, pauseOnConnect: true }, (near) =>
      this.#accept(near),
    );
  }

  /** @param port the server's, on 127.0.0.1 */
  static async to(port: number, wire: Wire): Promise<Link> {
    const link = new Link(port, wire);
    link.#server.listen(0, '127.0.0.1');
    await once(link.#server, 'listening');
    return link;
  }

  get port(): number {
    return (this.#server.address() as { port: number }).port;
  }

  /** The server process of the last freeze that started, as the server reported it to the sidecar. */
  get session(): number | undefined {
    return [...this.#pairs].findLast((pair) => pair.freezes)?.process;
  }

  cut(how: 'silent' | 'reset'): void {
    this.#mode = how;
    for (const pair of this.#pairs) {
      if (how === 'reset') this.#reset(pair);
      else for (const socket of [pair.near, pair.far]) socket.pause();
    }
  }

  repair(): void {
    this.#mode = 'whole';
    for (const { near, far } of this.#pairs) for (const socket of [near, far]) socket.resume();
  }

  close(): void {
    this.#server.close();
    for (const pair of this.#pairs) this.#reset(pair);
  }

  #reset(pair: Pair): void {
    this.#pairs.delete(pair);
    pair.near.resetAndDestroy();
    pair.far.resetAndDestroy();
  }

  #accept(near: Socket): void {
    near.on('error', () => undefined);
    if (this.#mode === 'reset') return void near.resetAndDestroy();
    const far = createConnection({ host: '127.0.0.1', port: this.#port, allowHalfOpen: true });
    const pair: Pair = { near, far, process: undefined, freezes: false, awaited: undefined };
    this.#pairs.add(pair);
    near.on('data', (chunk) => this.#asked(pair, chunk));
    far.on('data', (chunk) => this.#answered(pair, chunk));
    near.on('end', () => far.end());
    far.on('end', () => near.end());
    for (const [one, other] of [
      [near, far],
      [far, near],
    ] as const) {
      one.on('error', () => undefined);
      one.on('close', (failed) => {
        this.#pairs.delete(pair);
        if (failed) other.resetAndDestroy();
        else other.end();
      });
    }
    if (this.#mode === 'whole') near.resume();
    else far.pause();
  }

  #asked(pair: Pair, chunk: Buffer): void {
    const text = chunk.toString('latin1');
    const found = this.#wire.steps.find(([part]) => text.includes(part));
    if (found) {
      pair.freezes = true;
      pair.awaited = found[2];
      this.onStep(found[1]);
    }
    pair.far.write(chunk);
  }

  #answered(pair: Pair, chunk: Buffer): void {
    pair.process ??= this.#wire.processOf?.(chunk);
    const { awaited } = pair;
    if (awaited !== undefined && this.#wire.isAside?.(chunk) !== true) {
      pair.awaited = undefined;
      this.onStep(awaited);
    }
    pair.near.write(chunk);
  }
}
