import { request as send } from 'node:http';
import { Duplex } from 'node:stream';
import type { KubeConfig } from '@kubernetes/client-node';
import type { WebSocket } from 'ws';
import { openChannels } from './channels.ts';
import { VERSION } from '../../version.ts';

/** A port on the loopback address of a pod. */
export interface ForwardPlace {
  readonly namespace: string;
  readonly pod: string;
  readonly port: number;
}

export interface PodRequest {
  readonly method: 'GET' | 'POST';
  readonly path: string;
  readonly body?: unknown;
  readonly headers?: Readonly<Record<string, string>>;
}

export interface PodAnswer {
  readonly status: number;
  /** Parsed JSON; `undefined` if it is not JSON. */
  readonly body: unknown;
}

/** The pod did not take the connection: nothing was sent. The message is that of its node. */
export class PortClosed extends Error {}

const PROTOCOLS = ['v4.channel.k8s.io'];
const DATA = 0;
const ERROR = 1;
/** Each channel begins with the number of the port. */
const PORT_BYTES = 2;
const LARGEST_ANSWER = 16 * 1_024 * 1_024;

/**
 * Sends one request to a port on the loopback address of a pod (`pods/portforward`). Each request has a
 * connection of its own: one that breaks costs one call, none is idle while volumes are cut, and its end
 * tells the sidecar that the caller of a freeze is gone.
 *
 * @throws StreamRefused, PortClosed if nothing was sent; another error if the connection broke, or the
 * reason of the signal
 */
export async function callPod(
  config: KubeConfig,
  { namespace, pod, port }: ForwardPlace,
  request: PodRequest,
  signal: AbortSignal,
): Promise<PodAnswer> {
  const path = `/api/v1/namespaces/${namespace}/pods/${pod}/portforward?ports=${port}`;
  const stream = new Forwarded();
  // The pod may refuse before anything is sent, and so before anybody listens.
  stream.on('error', () => undefined);
  const receive = stream.receive.bind(stream);
  stream.attach(await openChannels(config, path, { protocols: PROTOCOLS, receive, signal }));
  try {
    if (stream.errored !== null) throw stream.errored;
    return await exchange(stream, request);
  } catch (error) {
    signal.throwIfAborted();
    throw error;
  } finally {
    stream.destroy();
  }
}

async function exchange(
  stream: Duplex,
  { method, path, body, headers }: PodRequest,
): Promise<PodAnswer> {
  const payload = body === undefined ? undefined : JSON.stringify(body);
  return await new Promise((resolve, reject) => {
    const sent = send(
      {
        createConnection: () => stream,
        method,
        path,
        headers: {
          host: 'localhost',
          'user-agent': `quiesce/${VERSION}`,
          connection: 'close',
          ...(payload !== undefined && {
            'content-type': 'application/json',
            'content-length': Buffer.byteLength(payload),
          }),
          ...headers,
        },
      },
      (answer) => {
        let text = '';
        answer.setEncoding('utf8').on('data', (part: string) => {
          text += part;
          if (text.length > LARGEST_ANSWER) stream.destroy(new Error('the answer is too long'));
        });
        answer.on('error', reject);
        answer.on('end', () => resolve({ status: answer.statusCode ?? 0, body: parsed(text) }));
      },
    );
    sent.on('error', reject);
    stream.on('error', reject);
    sent.end(payload);
  });
}

function parsed(text: string): unknown {
  try {
    return JSON.parse(text) as unknown;
  } catch {
    return undefined;
  }
}

/** The bytes of a forwarded port. */
class Forwarded extends Duplex {
  #socket: WebSocket | undefined;
  readonly #skip = new Map([DATA, ERROR].map((channel) => [channel, PORT_BYTES]));

  attach(socket: WebSocket): void {
    this.#socket = socket;
    socket.on('close', () => this.#end());
    if (socket.readyState === socket.CLOSED) this.#end();
  }

  receive(channel: number, content: Buffer): void {
    const left = this.#skip.get(channel);
    if (left === undefined || this.destroyed) return;
    const skip = Math.min(left, content.length);
    this.#skip.set(channel, left - skip);
    const rest = content.subarray(skip);
    if (rest.length === 0) return;
    if (channel === DATA) this.push(rest);
    else this.destroy(new PortClosed(rest.toString('utf8').trim()));
  }

  #end(): void {
    if (!this.destroyed) this.push(null);
  }

  override _read(): void {
    // The WebSocket pushes what it gets; an answer of the sidecar is small.
  }

  override _write(chunk: Buffer, _encoding: string, done: (error?: Error | null) => void): void {
    this.#socket?.send(Buffer.concat([Buffer.from([DATA]), chunk]), done);
  }

  override _final(done: (error?: Error | null) => void): void {
    done();
  }

  override _destroy(error: Error | null, done: (error?: Error | null) => void): void {
    this.#socket?.terminate();
    done(error);
  }
}
