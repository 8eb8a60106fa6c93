import type { IncomingMessage, RequestListener, ServerResponse } from 'node:http';
import { createServer } from 'node:http';
import type { ServerOptions } from 'node:http';
import { createServer as createTlsServer } from 'node:https';
import type { ServerOptions as TlsOptions } from 'node:https';
import type { Socket } from 'node:net';
import { QuiesceError } from '../errors.ts';
import type { Connections } from './connections.ts';
import { errorBody } from './error-body.ts';
import { rawAnswer } from './raw-answer.ts';

/** Requests must arrive within it; an answer may take as long as its handler. */
const ARRIVE_WITHIN_MS = 10_000;

const BOUNDS: ServerOptions = {
  headersTimeout: ARRIVE_WITHIN_MS,
  requestTimeout: ARRIVE_WITHIN_MS,
  connectionsCheckingInterval: 2_000,
  maxHeaderSize: 16_384,
  // Ours to answer: see checkMessage.
  requireHostHeader: false,
};

export interface ListenerOptions {
  readonly connections: Connections;
  readonly keepAliveTimeout: number;
  readonly tls?: Pick<TlsOptions, 'cert' | 'key' | 'minVersion'>;
}

export type Listener = ReturnType<typeof createServer>;

/** A server whose connections and headers are bounded, and which answers nothing but by us. */
export function createListener(handler: RequestListener, options: ListenerOptions): Listener {
  const { connections, keepAliveTimeout, tls } = options;
  const settings = { ...BOUNDS, keepAliveTimeout };
  const server: Listener = tls
    ? createTlsServer({ ...settings, ...tls, handshakeTimeout: ARRIVE_WITHIN_MS })
    : createServer(settings);
  const take = (request: IncomingMessage, response: ServerResponse): void => {
    const refusal = connections.enter(request, response);
    if (refusal) refuse(response, refusal);
    else handler(request, response);
  };
  connections.watch(server, tls ? 'tls' : 'plain');
  if (tls) server.on('secureConnection', (socket) => connections.secured(socket));
  // Node would drop what is over the number silently. They are counted by checkMessage.
  server.maxHeadersCount = 0;
  for (const event of ['request', 'checkContinue', 'checkExpectation']) server.on(event, take);
  server.on('connect', refuseTunnel);
  return server;
}

function refuse(response: ServerResponse, error: QuiesceError): void {
  const body = JSON.stringify(errorBody(error));
  response.writeHead(error.status, {
    'content-type': 'application/json; charset=utf-8',
    'content-length': Buffer.byteLength(body),
    connection: 'close',
  });
  response.end(body);
}

/** CONNECT has no path, so no method is allowed in its place. Node would just hang up. */
function refuseTunnel(_request: IncomingMessage, socket: Socket): void {
  socket.on('error', () => socket.destroy());
  const error = new QuiesceError('METHOD_NOT_ALLOWED', 'This server is no proxy.');
  socket.write(rawAnswer(error, { allow: '' }));
  socket.destroySoon();
}
