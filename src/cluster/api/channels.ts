import type { RequestOptions } from 'node:https';
import type { IncomingMessage } from 'node:http';
import type { KubeConfig } from '@kubernetes/client-node';
import { WebSocket } from 'ws';

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
  readonly signal: AbortSignal;
}

/**
 * Opens a stream of a pod: a WebSocket whose messages begin with the number of their channel. The
 * Kubernetes client can open one, too, but not give up on one that does not open, and it drops the reason
 * of a refusal.
 *
 * @throws StreamRefused if it is not open when the signal aborts, or is refused
 */
export async function openChannels(
  config: KubeConfig,
  path: string,
  { protocols, receive, signal }: Opening,
): Promise<WebSocket> {
  const server = config.getCurrentCluster()?.server ?? '';
  const options: RequestOptions & { closeTimeout: number } = { closeTimeout: CLOSE_WITHIN_MS };
  await config.applyToHTTPSOptions(options);
  const url = `${server.replace(/^http/, 'ws').replace(/\/$/, '')}${path}`;
  const socket = new WebSocket(url, [...protocols], {
    ...(options as object),
    perMessageDeflate: false,
    maxPayload: LARGEST_MESSAGE,
  });
  socket.on('message', (data, binary) => {
    if (!binary || !Buffer.isBuffer(data) || data.length === 0) return;
    receive(data.readUInt8(0), data.subarray(1));
  });
  // A connection that fails later is told by its `close`.
  socket.on('error', () => undefined);
  const stop = (): void => socket.terminate();
  signal.addEventListener('abort', stop);
  socket.on('close', () => signal.removeEventListener('abort', stop));
  if (signal.aborted) stop();
  await opened(socket);
  return socket;
}

async function opened(socket: WebSocket): Promise<void> {
  await new Promise<void>((resolve, reject) => {
    socket.on('open', resolve);
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
