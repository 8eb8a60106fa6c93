import type { IncomingMessage } from 'node:http';
import type { Socket } from 'node:net';
import { WebSocket } from 'ws';
import type { ApiServer } from './server.ts';

/** In bytes, for one message of a stream. */
const LARGEST_MESSAGE = 64 * 1_024 * 1_024;
/** How long a server may take to close the connection after the last message. */
const CLOSE_WITHIN_MS = 1_000;
const REASON_LIMIT = 16 * 1_024;

/** The API server did not open a stream, or answered with another status than an upgrade. */
export class StreamRefused extends Error {
  /** `undefined`: it gave no answer. */
  readonly status: number | undefined;

  constructor(status: number | undefined, message: string, options?: { cause: unknown }) {
    super(message, options);
    this.status = status;
  }
}

interface Opening {
  readonly protocols: readonly string[];
  /** Gets every message. The first may come together with the answer that opens the stream. */
  readonly receive: (channel: number, content: Buffer) => void;
  /** Ends the attempt. An open stream is its owner's to end. */
  readonly signal: AbortSignal;
}

export interface Channels {
  readonly socket: WebSocket;
  /** The connection below it. */
  readonly wire: Socket;
}

/**
 * Opens a stream of a pod: a WebSocket whose messages begin with the number of their channel. The
 * Kubernetes client can open one, too, but not give up on one that does not open, and it drops the reason
 * of a refusal.
 *
 * @throws StreamRefused if it is not open when the signal aborts, or is refused
 */
export async function openChannels(
  server: ApiServer,
  path: string,
  { protocols, receive, signal }: Opening,
): Promise<Channels> {
  const socket = new WebSocket(`${server.url.replace(/^http/, 'ws')}${path}`, [...protocols], {
    ...((await server.options('new')) as object),
    closeTimeout: CLOSE_WITHIN_MS,
    perMessageDeflate: false,
    maxPayload: LARGEST_MESSAGE,
  } as object);
  socket.on('message', (data, binary) => {
    if (!binary || !Buffer.isBuffer(data) || data.length === 0) return;
    receive(data.readUInt8(0), data.subarray(1));
  });
  // A connection that fails later is told by its `close`.
  socket.on('error', () => undefined);
  const stop = (): void => socket.terminate();
  signal.addEventListener('abort', stop);
  if (signal.aborted) stop();
  try {
    return { socket, wire: await opened(socket) };
  } finally {
    signal.removeEventListener('abort', stop);
  }
}

async function opened(socket: WebSocket): Promise<Socket> {
  return await new Promise<Socket>((resolve, reject) => {
    socket.on('upgrade', ({ socket: wire }) => socket.on('open', () => resolve(wire)));
    socket.on('unexpected-response', (request, answer) => {
      void reasonOf(answer).then((reason) => {
        reject(new StreamRefused(answer.statusCode, reason));
        request.destroy();
      });
    });
    socket.on('error', (cause) => {
      reject(new StreamRefused(undefined, cause.message, { cause }));
    });
    socket.on('close', () => {
      reject(new StreamRefused(undefined, 'the connection was closed before it was open'));
    });
  });
}

/** The message of the Status that the API server sent. */
async function reasonOf(answer: IncomingMessage): Promise<string> {
  let text = '';
  try {
    for await (const part of answer.setEncoding('utf8')) {
      text += String(part);
      if (text.length > REASON_LIMIT) break;
    }
    const { message } = JSON.parse(text) as { readonly message?: unknown };
    if (typeof message === 'string') return message;
  } catch {
    // The status alone is reported.
  }
  return `the API server answered ${answer.statusCode ?? 0}`;
}
