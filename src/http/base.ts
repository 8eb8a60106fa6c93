import { fastify } from 'fastify';
import type { FastifyInstance, FastifyReply, FastifyRequest, FastifyServerOptions } from 'fastify';
import { validatorCompiler } from 'fastify-type-provider-zod';
import type { ZodTypeProvider } from 'fastify-type-provider-zod';
import type { IncomingMessage, Server, ServerResponse } from 'node:http';
import { QuiesceError } from '../errors.ts';
import type { Logger } from '../logger.ts';
import { BODY_LIMIT, parseBody } from './body.ts';
import { answerClientError, answerError } from './errors.ts';

export type App = FastifyInstance<Server, IncomingMessage, ServerResponse, never, ZodTypeProvider>;

/**
 * Given from the start, so that fastify never loads its own, ajv and fast-json-stringify: the memory
 * of a sidecar is counted. Answers are described by schemas but not checked against them: a released
 * database must be reported as released even if a field of its receipt were not as documented.
 */
export const OWN_COMPILERS = {
  compilersFactory: {
    buildValidator: () => validatorCompiler,
    buildSerializer: () => () => (data: unknown) => JSON.stringify(data),
  },
} as unknown as NonNullable<FastifyServerOptions['schemaController']>;

/**
 * A server with the rules that hold on every port: JSON bodies up to 64 KiB, one form of error, 405
 * with `Allow` for a known path, no HEAD, no CORS, no rate limit. Requests must arrive within 10 s;
 * an answer may take as long as its handler.
 */
export function createApp(logger: Logger): App {
  const handleError = answerError(logger);
  const app = fastify({
    logger: false,
    bodyLimit: BODY_LIMIT,
    exposeHeadRoutes: false,
    requestTimeout: 10_000,
    keepAliveTimeout: 5_000,
    forceCloseConnections: 'idle',
    // While stopping, a thaw is still answered by its handler and not by a blanket 503.
    return503OnClosing: false,
    schemaController: OWN_COMPILERS,
    routerOptions: { maxParamLength: 1_024 },
    http: {
      headersTimeout: 10_000,
      connectionsCheckingInterval: 2_000,
      maxHeaderSize: 16_384,
      requireHostHeader: false,
    },
    clientErrorHandler: answerClientError,
    frameworkErrors: (error, request, reply) => {
      void handleError(error, request, reply);
    },
  }).withTypeProvider<ZodTypeProvider>() as unknown as App;
  app.removeAllContentTypeParsers();
  app.addContentTypeParser('*', { parseAs: 'buffer' }, (request, body, done) => {
    try {
      done(null, parseBody(request.headers['content-type'], body as Buffer));
    } catch (error) {
      done(error as Error, undefined);
    }
  });
  app.addHook('preValidation', (request, _reply, done) => {
    if (request.body === undefined && request.method === 'POST') request.body = {};
    done();
  });
  app.setErrorHandler(handleError);
  refuseUnknownRoutes(app);
  return app;
}

/** 405 where the path exists with another method, 404 elsewhere. */
function refuseUnknownRoutes(app: App): void {
  const routes: { readonly pattern: RegExp; readonly method: string }[] = [];
  app.addHook('onRoute', ({ method, url }) => {
    const pattern = new RegExp(`^${url.replaceAll('.', '\\.').replaceAll(/:\w+/g, '[^/]+')}$`);
    for (const name of [method].flat()) routes.push({ pattern, method: name });
  });
  app.setNotFoundHandler((request: FastifyRequest, reply: FastifyReply) => {
    const path = pathOf(request.raw.url ?? '/');
    const allowed = routes.filter(({ pattern }) => pattern.test(path)).map(({ method }) => method);
    if (allowed.length === 0 || allowed.includes(request.method)) {
      throw new QuiesceError('NOT_FOUND', 'There is no such route.');
    }
    void reply.header('allow', allowed.join(', '));
    throw new QuiesceError('METHOD_NOT_ALLOWED', `This route takes ${allowed.join(', ')} only.`);
  });
}

function pathOf(url: string): string {
  const path = url.split(/[?#]/, 1)[0] ?? '/';
  return path.startsWith('/') ? path : path.replace(/^[a-z]+:\/\/[^/]*/i, '');
}
