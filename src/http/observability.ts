import type { Logger } from '../logger.ts';
import type { App } from './base.ts';
import { createApp } from './base.ts';

export interface Health {
  readonly ok: boolean;
  /** One sentence without secrets: this port is open to the network. */
  readonly message: string;
}

export interface ObservabilityOptions {
  /** The Prometheus exposition text. */
  readonly metrics: () => Promise<string> | string;
  /** Whether the process works; if not, it must be restarted. */
  readonly live: () => Promise<Health> | Health;
  /** Whether it can do its job now. */
  readonly ready: () => Promise<Health> | Health;
  readonly logger: Logger;
}

/** `GET /metrics`, `/healthz` and `/readyz`, and nothing else. */
export function buildObservabilityApp({ metrics, live, ready, logger }: ObservabilityOptions): App {
  const app = createApp(logger);
  app.get('/metrics', async (_request, reply) => {
    void reply.type('text/plain; version=0.0.4; charset=utf-8');
    return metrics();
  });
  const probes = { '/healthz': live, '/readyz': ready };
  for (const [path, probe] of Object.entries(probes)) {
    app.get(path, async (_request, reply) => {
      const { ok, message } = await probe();
      return reply.code(ok ? 200 : 503).send({ ok, message });
    });
  }
  return app;
}
