import type { IncomingMessage } from 'node:http';
import type { Control } from './control.ts';
import type { Logger } from '../logger.ts';
import type { App } from './base.ts';
import { createApp } from './base.ts';
import type { Transport } from './caller.ts';
import { guardLoopback } from './guard.ts';
import { addRoutes } from './routes.ts';

export interface ControlAppOptions {
  readonly control: Control;
  /** `socket` is guarded by file permissions; `tcp` by Host, Origin and, if given, the token. */
  readonly transport: Transport;
  /** QUIESCE_CONTROL_TOKEN: asked for on `tcp` only. */
  readonly token?: string;
  readonly logger: Logger;
}

/** The control API, ready to be injected into or listened with. */
export function buildControlApp({ control, transport, token, logger }: ControlAppOptions): App {
  // A release is never refused: it does not give way, whoever else is connected.
  const limits = {
    urgent: (request: IncomingMessage) => request.url?.startsWith('/v1/thaw') === true,
  };
  const app = createApp(logger, { limits });
  if (transport === 'tcp') {
    app.addHook('onRequest', (request, _reply, done) => {
      guardLoopback(request.headers, request.originalUrl, token);
      done();
    });
  }
  addRoutes(app, control, transport);
  return app;
}
