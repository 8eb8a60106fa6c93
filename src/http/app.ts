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
  /** QUIESCE_CONTROL_TOKEN, required on `tcp` only. */
  readonly token?: string;
  readonly logger: Logger;
}

/** Builds the control API. It does not listen yet, and takes `inject`. */
export function buildControlApp({ control, transport, token, logger }: ControlAppOptions): App {
  // A release is never refused, so a thaw never gives way to other connections.
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
