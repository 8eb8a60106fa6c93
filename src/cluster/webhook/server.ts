import type { Server } from 'node:https';
import type { App } from '../../http/base.ts';
import { createApp } from '../../http/base.ts';
import type { Logger } from '../../logger.ts';
import type { Pair } from '../certificates/authority.ts';
import type { InjectConfig } from '../inject/options.ts';
import type { EventWriter } from './events.ts';
import type { WebhookMetrics } from './metrics.ts';
import { namespaceIn, type NamespaceReader } from './namespaces.ts';
import { answerGate } from './restore-review.ts';
import type { Restores } from './restores.ts';
import { answerReview, type FailurePolicy, readReview, type ReviewOutcome } from './review.ts';

/** API servers accept objects of up to 3 MB. A review holds one, and its envelope. */
const BODY_LIMIT = 8 * 1024 * 1024;
/** Of all reviews being received at once. One has some ten kilobytes and arrives within a millisecond. */
const MAX_BODY_BYTES = 64 * 1024 * 1024;
/** Longer than an API server keeps an idle connection (90 s), so that the API server closes it first. */
const KEEP_ALIVE_MS = 120_000;

/** An API server opens one for each review it sends at the same time, and keeps them. */
const MAX_CONNECTIONS = 512;

export type AdmissionServer = App;

export interface AdmissionOptions {
  readonly pair: Pair;
  readonly config: InjectConfig;
  readonly failurePolicy: FailurePolicy;
  readonly logger: Logger;
  readonly metrics: WebhookMetrics;
  readonly events: EventWriter;
  readonly restores: Pick<Restores, 'stateOf'>;
  readonly namespaces: NamespaceReader;
  /** Whether the server is about to stop. */
  readonly stopping: () => boolean;
}

/** The HTTPS server that API servers call: `POST /mutate` to inject, `POST /restore` for staged restores. */
export function buildAdmissionServer(options: AdmissionOptions): AdmissionServer {
  const { pair, config, failurePolicy, logger, metrics, events, namespaces, stopping } = options;
  const app = createApp(logger, {
    bodyLimit: BODY_LIMIT,
    keepAliveTimeout: KEEP_ALIVE_MS,
    limits: { most: MAX_CONNECTIONS, bodies: MAX_BODY_BYTES },
    tls: { cert: pair.certificate, key: pair.key, minVersion: 'TLSv1.2' },
  });
  // A kept-alive connection would in the end be closed during a request, which no API server sends again.
  app.addHook('onSend', async (_request, reply) => {
    if (stopping()) reply.header('connection', 'close');
  });
  app.post('/mutate', async (request) => {
    const begun = performance.now();
    const namespace = namespaceIn(request.body);
    const rules = namespace === undefined ? undefined : await namespaces.rulesOf(namespace);
    const reviewed = answerReview(request.body, config, failurePolicy, rules);
    metrics.request(reviewed.result, (performance.now() - begun) / 1_000);
    logOutcome(reviewed, logger);
    events.report(reviewed.pod, reviewed.namespace, reviewed.events);
    return reviewed.answer;
  });
  app.post('/restore', async (request) => await answerRestore(request.body, options));
  return app;
}

/** What cannot be told is refused, by an error: whoever creates the pod tries again. */
async function answerRestore(
  body: unknown,
  { restores, metrics, events, logger }: AdmissionOptions,
): Promise<unknown> {
  const request = readReview(body);
  const { pod, namespace } = request;
  const name = pod.metadata?.name ?? pod.metadata?.generateName;
  try {
    const state = await restores.stateOf(namespace);
    const { answer, result, events: notices } = answerGate(request, state);
    metrics.gate(result);
    events.report(pod, namespace, notices);
    logger.info({ result, namespace, pod: name, run: state.run }, 'a pod of a staged restore');
    return answer;
  } catch (error) {
    metrics.gate('error');
    logger.error({ namespace, pod: name, err: error }, 'the namespace could not be read');
    throw error;
  }
}

/** New connections get the new certificate. Open ones keep the old one. */
export function replacePair(server: AdmissionServer, pair: Pair): void {
  const secure = server.server as unknown as Server;
  secure.setSecureContext({ cert: pair.certificate, key: pair.key, minVersion: 'TLSv1.2' });
}

function logOutcome(
  { result, pod, namespace, events, failure }: ReviewOutcome,
  logger: Logger,
): void {
  const name = pod.metadata?.name ?? pod.metadata?.generateName;
  const about = { result, namespace, pod: name };
  if (failure !== undefined) logger.error({ ...about, err: failure }, 'the pod could not be read');
  else if (events.length > 0) logger.warn({ ...about, notices: events }, 'admitted with a warning');
  else logger.debug(about, 'admitted');
}
