import { Duplex } from 'node:stream';
import type { Channels } from './channels.ts';

/** The pod did not take the connection: nothing was sent. The message is that of its node. */
export class PortClosed extends Error {}

const DATA = 0;
const ERROR = 1;
/** Each channel begins with the number of the port. */
const PORT_BYTES = 2;

/** The bytes of a forwarded port: a connection to a server in a pod. */
export class Forwarded extends Duplex {
  #channels: Channels | undefined;
  /** Its owner has no request on it. */
  #idle: NodeJS.Timeout | undefined;
  readonly #skip = new Map([DATA, ERROR].map((channel) => [channel, PORT_BYTES]));

  /** @param autoDestroy whether it is destroyed when both sides have ended */
  constructor(autoDestroy = true) {
    super({ allowHalfOpen: false, autoDestroy });
    // The pod may refuse before anything is sent, and so before anybody listens.
    this.on('error', () => undefined);
  }

  attach(channels: Channels): void {
    this.#channels = channels;
    const { socket } = channels;
    socket.on('close', () => this.#end());
    if (socket.readyState === socket.CLOSED) this.#end();
  }

  /** Waits for the next request, for so long, and keeps no process alive meanwhile. */
  rest(ms: number): void {
    this.#channels?.wire.unref();
    this.#idle = setTimeout(() => this.destroy(), ms).unref();
  }

  /** A request goes over it again. */
  wake(): void {
    clearTimeout(this.#idle);
    this.#idle = undefined;
    this.#channels?.wire.ref();
  }

  receive(channel: number, content: Buffer): void {
    const left = this.#skip.get(channel);
    if (left === undefined || this.destroyed) return;
    const skip = Math.min(left, content.length);
    this.#skip.set(channel, left - skip);
    const rest = content.subarray(skip);
    if (rest.length === 0) return;
    if (channel === ERROR) this.destroy(new PortClosed(rest.toString('utf8').trim()));
    // Nobody has asked for it.
    else if (this.#idle !== undefined) this.destroy();
    else if (!this.push(rest)) this.#channels?.socket.pause();
  }

  #end(): void {
    if (this.destroyed) return;
    if (this.#idle === undefined) this.push(null);
    else this.destroy();
  }

  override _read(): void {
    if (this.#channels?.socket.isPaused === true) this.#channels.socket.resume();
  }

  override _write(chunk: Buffer, _encoding: string, done: (error?: Error | null) => void): void {
    const { socket } = this.#channels ?? {};
    if (socket === undefined) done(new Error('it is not open'));
    else socket.send(Buffer.concat([Buffer.from([DATA]), chunk]), done);
  }

  override _final(done: (error?: Error | null) => void): void {
    done();
  }

  override _destroy(error: Error | null, done: (error?: Error | null) => void): void {
    clearTimeout(this.#idle);
    this.#channels?.socket.terminate();
    done(error);
  }
}
