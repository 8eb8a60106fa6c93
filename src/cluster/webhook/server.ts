import { fastify } from 'fastify';
import type { FastifyInstance } from 'fastify';
import type { IncomingMessage, ServerResponse } from 'node:http';
import type { Server } from 'node:https';
import { OWN_COMPILERS } from '../../http/base.ts';
import { answerError } from '../../http/errors.ts';
import type { Logger } from '../../logger.ts';
import type { Pair } from '../certificates/authority.ts';
import type { InjectConfig } from '../inject/options.ts';
import type { EventWriter } from './events.ts';
import type { WebhookMetrics } from './metrics.ts';
import { answerReview, type FailurePolicy, type Reviewed } from './review.ts';

/** An API server accepts objects of 3 MB; a review holds one, and its envelope. */
const BODY_LIMIT = 8 * 1024 * 1024;
/** Longer than an API server keeps an idle connection (90 s): it is the one that closes. */
const KEEP_ALIVE_MS = 120_000;

export type AdmissionServer = FastifyInstance<Server, IncomingMessage, ServerResponse>;

export interface AdmissionOptions {
  readonly pair: Pair;
  readonly config: InjectConfig;
  readonly failurePolicy: FailurePolicy;
  readonly logger: Logger;
  readonly metrics: WebhookMetrics;
  readonly events: EventWriter;
  /** The server is about to stop. */
  readonly leaving: () => boolean;
}

/** The HTTPS server that the API server calls: `POST /mutate`. */
export function buildAdmissionServer(options: AdmissionOptions): AdmissionServer {
  const { pair, config, failurePolicy, logger, metrics, events, leaving } = options;
  const app = fastify({
    logger: false,
    bodyLimit: BODY_LIMIT,
    exposeHeadRoutes: false,
    requestTimeout: 10_000,
    keepAliveTimeout: KEEP_ALIVE_MS,
    forceCloseConnections: 'idle',
    return503OnClosing: false,
    schemaController: OWN_COMPILERS,
    https: { cert: pair.certificate, key: pair.key, minVersion: 'TLSv1.2' },
  });
  app.setErrorHandler(answerError(logger));
  // A connection that is kept is closed under a request in the end, and no API server sends that again.
  app.addHook('onSend', async (_request, reply) => {
    if (leaving()) reply.header('connection', 'close');
  });
  app.post('/mutate', async (request) => {
    const begun = performance.now();
    const reviewed = answerReview(request.body, config, failurePolicy);
    metrics.request(reviewed.result, (performance.now() - begun) / 1_000);
    report(reviewed, logger);
    events.tell(reviewed.pod, reviewed.namespace, reviewed.events);
    return reviewed.answer;
  });
  return app;
}

/** New connections get the new certificate; those that are open stay as they are. */
export function replacePair(server: AdmissionServer, pair: Pair): void {
  server.server.setSecureContext({ cert: pair.certificate, key: pair.key, minVersion: 'TLSv1.2' });
}

function report({ result, pod, namespace, events, failure }: Reviewed, logger: Logger): void {
  const name = pod.metadata?.name ?? pod.metadata?.generateName;
  const about = { result, namespace, pod: name };
  if (failure !== undefined) logger.error({ ...about, err: failure }, 'a pod could not be read');
  else if (events.length > 0) logger.warn({ ...about, notices: events }, 'admitted with a warning');
  else logger.debug(about, 'admitted');
}
