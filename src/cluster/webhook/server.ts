import type { Server } from 'node:https';
import type { App } from '../../http/base.ts';
import { createApp } from '../../http/base.ts';
import type { Logger } from '../../logger.ts';
import type { Pair } from '../certificates/authority.ts';
import type { InjectConfig } from '../inject/options.ts';
import type { EventWriter } from './events.ts';
import type { WebhookMetrics } from './metrics.ts';
import { answerReview, type FailurePolicy, type Reviewed } from './review.ts';

/** An API server accepts objects of 3 MB; a review holds one, and its envelope. */
const BODY_LIMIT = 8 * 1024 * 1024;
/** Of reviews that are being sent. One is some ten kilobytes, and there in a millisecond. */
const MOST_BODIES = 64 * 1024 * 1024;
/** Longer than an API server keeps an idle connection (90 s): it is the one that closes. */
const KEEP_ALIVE_MS = 120_000;

/** An API server opens as many as it has reviews to send, and keeps them. */
const MOST_CONNECTIONS = 512;

export type AdmissionServer = App;

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
  const app = createApp(logger, {
    bodyLimit: BODY_LIMIT,
    keepAliveTimeout: KEEP_ALIVE_MS,
    limits: { most: MOST_CONNECTIONS, bodies: MOST_BODIES },
    tls: { cert: pair.certificate, key: pair.key, minVersion: 'TLSv1.2' },
  });
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
  const secure = server.server as unknown as Server;
  secure.setSecureContext({ cert: pair.certificate, key: pair.key, minVersion: 'TLSv1.2' });
}

function report({ result, pod, namespace, events, failure }: Reviewed, logger: Logger): void {
  const name = pod.metadata?.name ?? pod.metadata?.generateName;
  const about = { result, namespace, pod: name };
  if (failure !== undefined) logger.error({ ...about, err: failure }, 'a pod could not be read');
  else if (events.length > 0) logger.warn({ ...about, notices: events }, 'admitted with a warning');
  else logger.debug(about, 'admitted');
}
