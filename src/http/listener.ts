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

/** How long a request may take to arrive. An answer may take as long as its handler. */
const ARRIVE_WITHIN_MS = 10_000;

const BOUNDS: ServerOptions = {
  headersTimeout: ARRIVE_WITHIN_MS,
  requestTimeout: ARRIVE_WITHIN_MS,
  connectionsCheckingInterval: 2_000,
  maxHeaderSize: 16_384,
  // checkMessage refuses these requests with our own error.
  requireHostHeader: false,
};

export interface ListenerOptions {
  readonly connections: Connections;
  readonly keepAliveTimeout: number;
  readonly tls?: Pick<TlsOptions, 'cert' | 'key' | 'minVersion'>;
}

export type Listener = ReturnType<typeof createServer>;

/** Creates a server with bounded connections and headers. All of its answers are ours, none are Node's. */
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
  // Node would silently drop headers beyond its limit, so checkMessage counts them.
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

/** CONNECT has no path, so no other method is allowed in its place. Node would close the connection without an answer. */
function refuseTunnel(_request: IncomingMessage, socket: Socket): void {
  socket.on('error', () => socket.destroy());
  const error = new QuiesceError('METHOD_NOT_ALLOWED', 'This server is not a proxy.');
  socket.write(rawAnswer(error, { allow: '' }));
  socket.destroySoon();
}
