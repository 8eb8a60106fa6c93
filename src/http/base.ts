import { fastify } from 'fastify';
import type { FastifyInstance, FastifyReply, FastifyRequest, FastifyServerOptions } from 'fastify';
import { validatorCompiler } from 'fastify-type-provider-zod';
import type { ZodTypeProvider } from 'fastify-type-provider-zod';
import type { IncomingMessage, Server, ServerResponse } from 'node:http';
import type { Logger } from '../logger.ts';
import { BODY_LIMIT, parseBody } from './body.ts';
import { answerClientError } from './client-error.ts';
import type { Limits } from './connections.ts';
import { Connections } from './connections.ts';
import { answerError } from './errors.ts';
import { sendContinue } from './expect.ts';
import type { ListenerOptions } from './listener.ts';
import { createListener } from './listener.ts';
import { checkMessage, originForm } from './message.ts';
import { RouteTable } from './route-table.ts';

export type App = FastifyInstance<Server, IncomingMessage, ServerResponse, never, ZodTypeProvider>;

/**
 * Set from the start so that fastify never loads its own compilers, ajv and fast-json-stringify: a
 * sidecar must be small in memory. Schemas describe the answers but do not check them: a released
 * database must be reported as released even if a field of its receipt differs from its schema.
 */
export const OWN_COMPILERS = {
  compilersFactory: {
    buildValidator: () => validatorCompiler,
    buildSerializer: () => () => (data: unknown) => JSON.stringify(data),
  },
} as unknown as NonNullable<FastifyServerOptions['schemaController']>;

/** Connections kept open on one listener of a sidecar. A pod has a handful of clients. */
const MOST_CONNECTIONS = 256;

export interface AppOptions {
  readonly bodyLimit?: number;
  readonly keepAliveTimeout?: number;
  readonly limits?: Partial<Limits>;
  readonly tls?: ListenerOptions['tls'];
}

/**
 * Creates a server with the rules of every port: JSON bodies up to 64 KiB, one error format, 405 with
 * `Allow` for a known path, no HEAD, no CORS, no rate limit. Requests must arrive within 10 s; an answer
 * may take as long as its handler.
 */
export function createApp(logger: Logger, options: AppOptions = {}): App {
  const { bodyLimit = BODY_LIMIT, keepAliveTimeout = 5_000, tls } = options;
  const handleError = answerError(logger);
  const routes = new RouteTable();
  const connections = new Connections({ most: MOST_CONNECTIONS, ...options.limits });
  const app = fastify({
    logger: false,
    bodyLimit,
    exposeHeadRoutes: false,
    forceCloseConnections: 'idle',
    // While the server stops, the handler still answers a thaw, instead of a blanket 503.
    return503OnClosing: false,
    schemaController: OWN_COMPILERS,
    routerOptions: { maxParamLength: 1_024 },
    serverFactory: (handler) =>
      createListener(handler, { connections, keepAliveTimeout, ...(tls ? { tls } : {}) }),
    clientErrorHandler: answerClientError(routes, connections),
    frameworkErrors: (error, request, reply) => {
      void handleError(error, request, reply);
    },
    rewriteUrl: ({ url = '/' }) => originForm(url),
  }).withTypeProvider<ZodTypeProvider>() as unknown as App;
  app.addHook('onRequest', (request, reply, done) => {
    try {
      checkMessage(request.raw, request.originalUrl);
      done();
    } catch (error) {
      // It is uncertain where this request ends and the next one starts.
      void reply.header('connection', 'close');
      done(error as Error);
    }
  });
  app.addHook('preClose', async () => connections.close());
  app.setErrorHandler(handleError);
  refuseUnknownRoutes(app, routes);
  readJson(app, bodyLimit);
  return app;
}

function readJson(app: App, bodyLimit: number): void {
  app.addHook('preParsing', (request, reply, _payload, done) => {
    sendContinue(request.raw, reply.raw, request.routeOptions.bodyLimit ?? bodyLimit);
    done();
  });
  app.removeAllContentTypeParsers();
  app.addContentTypeParser('*', { parseAs: 'buffer' }, (request, body, done) => {
    try {
      done(null, parseBody(request.headers, body as Buffer));
    } catch (error) {
      done(error as Error, undefined);
    }
  });
  app.addHook('preValidation', (request, _reply, done) => {
    if (request.body === undefined && request.method === 'POST') request.body = {};
    done();
  });
}

function refuseUnknownRoutes(app: App, routes: RouteTable): void {
  app.addHook('onRoute', ({ method, url }) => {
    for (const name of [method].flat()) routes.add(name, url);
  });
  const refuse = (request: FastifyRequest, reply: FastifyReply): never => {
    const { error, allow } = routes.refuse(request.method, request.raw.url ?? '/');
    if (allow !== undefined) void reply.header('allow', allow);
    throw error;
  };
  app.addHook('preParsing', (request, reply, _payload, done) => {
    // Before the body is read: an error in the body would hide that there is no such route.
    if (request.is404) refuse(request, reply);
    done();
  });
  app.setNotFoundHandler(refuse);
}
