import { readFile } from 'node:fs/promises';
import { setTimeout as sleep } from 'node:timers/promises';
import { QuiesceError } from '../../errors.ts';
import type { App } from '../../http/base.ts';
import { BACKLOG } from '../../http/connections.ts';
import { buildObservabilityApp } from '../../http/observability.ts';
import { createLogger } from '../../logger.ts';
import type { Pair } from '../certificates/authority.ts';
import { MountedCertificate } from '../certificates/files.ts';
import { CertificateKeeper } from '../certificates/keeper.ts';
import { SelfManagedCertificate } from '../certificates/self-managed.ts';
import type { CertificateSource } from '../certificates/source.ts';
import { type Cluster, connectCluster } from '../api/client.ts';
import { connectWatcher } from '../api/watch.ts';
import { EventWriter } from './events.ts';
import { createWebhookMetrics } from './metrics.ts';
import { NamespaceReader } from './namespaces.ts';
import type { WebhookOptions } from './options.ts';
import { Restores } from './restores.ts';
import {
  type AdmissionOptions,
  type AdmissionServer,
  buildAdmissionServer,
  replacePair,
} from './server.ts';

const NAMESPACE_FILE = '/var/run/secrets/kubernetes.io/serviceaccount/namespace';

/** The namespace of the pod that runs this process; `undefined` outside a cluster. */
export async function ownNamespace(): Promise<string | undefined> {
  return await readFile(NAMESPACE_FILE, 'utf8').then(
    (text) => text.trim(),
    () => undefined,
  );
}

export interface Webhook {
  /**
   * Reports not ready, serves for `shutdownDelayMs`, then closes. Meanwhile the Service drops this replica,
   * so the creation of a pod never waits for a timeout.
   */
  stop(): Promise<void>;
}

/** Composition root: certificate → HTTPS server → readiness. Resolves after the first certificate attempt. */
export async function startWebhook(options: WebhookOptions): Promise<Webhook> {
  const logger = createLogger({ level: options.logLevel });
  const restores = new Restores(connectWatcher({}), logger);
  const metrics = createWebhookMetrics(() => restores.seen());
  const cluster = connectCluster();
  let stopping = false;
  const events = new EventWriter(cluster, logger);
  const listener = new AdmissionListener(options, {
    logger,
    metrics,
    events,
    restores,
    namespaces: new NamespaceReader(cluster, logger),
    stopping: () => stopping,
  });
  const keeper = new CertificateKeeper({
    source: sourceOf(options, cluster),
    logger,
    onChange(pair, expiresAt) {
      metrics.certificate(expiresAt);
      listener.serve(pair);
    },
    onFailure: () => metrics.certificateError(),
  });
  const observability = buildObservabilityApp({
    metrics: () => metrics.text(),
    live: () => ({ ok: true, message: 'alive' }),
    ready() {
      if (stopping) return { ok: false, message: 'stopping' };
      const ok = keeper.problem === undefined && listener.open;
      return { ok, message: ok ? 'serving' : 'not serving; the reason is in the log' };
    },
    logger,
  });
  await listen(observability, options.metricsAddress);
  await keeper.start();
  restores.start();
  return {
    async stop() {
      stopping = true;
      keeper.stop();
      restores.stop();
      if (listener.open) await sleep(options.shutdownDelayMs);
      await listener.close();
      await observability.close();
    },
  };
}

type ListenerParts = Omit<AdmissionOptions, 'pair' | 'config' | 'failurePolicy'>;

/** The HTTPS server. It opens with the first certificate and takes each later one. */
class AdmissionListener {
  readonly #options: WebhookOptions;
  readonly #dependencies: ListenerParts;
  #server: AdmissionServer | undefined;
  #listening = false;

  constructor(options: WebhookOptions, dependencies: ListenerParts) {
    this.#options = options;
    this.#dependencies = dependencies;
  }

  get open(): boolean {
    return this.#listening;
  }

  serve(pair: Pair): void {
    if (this.#server) replacePair(this.#server, pair);
    else void this.#listen(pair);
  }

  async close(): Promise<void> {
    await this.#server?.close();
  }

  async #listen(pair: Pair): Promise<void> {
    const { inject: config, failurePolicy, address } = this.#options;
    const { logger } = this.#dependencies;
    this.#server = buildAdmissionServer({ pair, config, failurePolicy, ...this.#dependencies });
    try {
      await listen(this.#server, address);
      this.#listening = true;
      logger.info({ address: `${address.host}:${address.port}` }, 'the webhook is serving');
    } catch (error) {
      logger.fatal({ err: error }, 'the webhook cannot listen');
      process.exitCode = 2;
      process.kill(process.pid, 'SIGTERM');
    }
  }
}

function sourceOf({ certificates }: WebhookOptions, cluster: Cluster): CertificateSource {
  if (certificates.mode === 'files') return new MountedCertificate(certificates.dir);
  return new SelfManagedCertificate({ cluster, ...certificates });
}

async function listen(
  app: Pick<App, 'listen'>,
  address: { readonly host: string; readonly port: number },
): Promise<void> {
  try {
    await app.listen({ host: address.host, port: address.port, backlog: BACKLOG });
  } catch (error) {
    const code = (error as NodeJS.ErrnoException).code ?? 'unknown';
    const message = `Cannot listen on ${address.host}:${address.port} (${code}).`;
    throw new QuiesceError('CONFIG_INVALID', message, { cause: error });
  }
}
