import {
  Agent,
  type ClientRequest,
  type ClientRequestArgs,
  type IncomingMessage,
  request as send,
} from 'node:http';
import type { Duplex } from 'node:stream';
import { callbackify } from 'node:util';
import { openChannels } from './channels.ts';
import { Forwarded } from './forwarded.ts';
import type { ApiServer } from './server.ts';
import { VERSION } from '../../version.ts';

/** A port on the loopback address of a pod. */
export interface ForwardPlace {
  readonly namespace: string;
  readonly pod: string;
  readonly port: number;
}

/** A request that may be sent twice: the server answers both as it would answer one. */
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

const PROTOCOLS = ['v4.channel.k8s.io'];
const LARGEST_ANSWER = 16 * 1_024 * 1_024;
/** Shorter than a sidecar keeps a connection that is idle. */
const IDLE_MS = 3_500;

/**
 * Ports on the loopback addresses of pods (`pods/portforward`). A connection serves one request at a time,
 * and a further one that follows soon: opening it costs the API server, the node and this process much more
 * than a request does. It ends with a request that is given up, which tells a sidecar that the caller of a
 * freeze is gone.
 */
export class PodPorts {
  readonly #server: ApiServer;
  readonly #agent: PortAgent;

  constructor(server: ApiServer) {
    this.#server = server;
    this.#agent = new PortAgent(server);
  }

  /**
   * Sends one request. A connection that was kept may break under it; then it is sent again.
   *
   * @throws StreamRefused, PortClosed if nothing was sent; another error if the connection broke, or the
   * reason of the signal
   */
  async call(place: ForwardPlace, request: PodRequest, signal: AbortSignal): Promise<PodAnswer> {
    for (;;) {
      const sent = this.#send(place, request, signal);
      try {
        return await answerOf(sent);
      } catch (error) {
        signal.throwIfAborted();
        // Each turn takes a kept connection away, so there is an end.
        if (!sent.reusedSocket) throw error;
      }
    }
  }

  /** Opens a connection of one's own, for any protocol. It is the caller's to destroy. */
  async open(place: ForwardPlace, signal: AbortSignal): Promise<Duplex> {
    try {
      // TLS over it would lose what it has not read yet when its connection is destroyed.
      return await openPort(this.#server, place, signal, new Forwarded(false));
    } catch (error) {
      signal.throwIfAborted();
      throw error;
    }
  }

  #send(place: ForwardPlace, request: PodRequest, signal: AbortSignal): ClientRequest {
    const { method, path, body, headers } = request;
    const payload = body === undefined ? undefined : JSON.stringify(body);
    const options: PortOptions = {
      agent: this.#agent,
      place,
      opening: signal,
      signal,
      method,
      path,
      headers: {
        host: 'localhost',
        'user-agent': `quiesce/${VERSION}`,
        ...(payload !== undefined && {
          'content-type': 'application/json',
          'content-length': Buffer.byteLength(payload),
        }),
        ...headers,
      },
    };
    const sent = send(options);
    sent.end(payload);
    return sent;
  }
}

interface PortOptions extends ClientRequestArgs {
  readonly place: ForwardPlace;
  /** The signal of the request: Node passes that one to no agent. */
  readonly opening: AbortSignal;
}

/** Opens connections to ports of pods, and keeps those that are idle for a short time. */
class PortAgent extends Agent {
  readonly #server: ApiServer;

  constructor(server: ApiServer) {
    super({ keepAlive: true });
    this.#server = server;
  }

  override getName(options?: object): string {
    const { namespace, pod, port } = (options as PortOptions).place;
    return `${namespace}/${pod}:${port}`;
  }

  override createConnection(
    options: ClientRequestArgs,
    callback: (error: Error | null, stream: Duplex) => void,
  ): undefined {
    const { place, opening } = options as PortOptions;
    callbackify(() => openPort(this.#server, place, opening))((error, stream) =>
      callback(error, stream),
    );
  }

  override keepSocketAlive(stream: Duplex): boolean {
    (stream as Forwarded).rest(IDLE_MS);
    return true;
  }

  override reuseSocket(stream: Duplex, sent: ClientRequest): void {
    sent.reusedSocket = true;
    (stream as Forwarded).wake();
  }
}

async function openPort(
  server: ApiServer,
  { namespace, pod, port }: ForwardPlace,
  signal: AbortSignal,
  stream = new Forwarded(),
): Promise<Forwarded> {
  const path = `/api/v1/namespaces/${namespace}/pods/${pod}/portforward?ports=${port}`;
  const receive = stream.receive.bind(stream);
  stream.attach(await openChannels(server, path, { protocols: PROTOCOLS, receive, signal }));
  if (stream.errored !== null) throw stream.errored;
  return stream;
}

async function answerOf(sent: ClientRequest): Promise<PodAnswer> {
  const answer = await new Promise<IncomingMessage>((resolve, reject) => {
    sent.on('response', resolve).on('error', reject);
  });
  let text = '';
  for await (const part of answer.setEncoding('utf8')) {
    text += String(part);
    if (text.length > LARGEST_ANSWER) throw new Error('the answer is too long');
  }
  return { status: answer.statusCode ?? 0, body: parsed(text) };
}

function parsed(text: string): unknown {
  try {
    return JSON.parse(text) as unknown;
  } catch {
    return undefined;
  }
}
