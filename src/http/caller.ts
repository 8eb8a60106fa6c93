import type { FastifyReply, FastifyRequest } from 'fastify';

export type Transport = 'socket' | 'tcp';

/** Describes the caller for people: `socket (curl/8.5.0)`, `127.0.0.1:51234 (curl/8.5.0)`. Never trusted. */
export function describeCaller(request: FastifyRequest, transport: Transport): string {
  const from =
    transport === 'socket'
      ? 'socket'
      : `${request.socket.remoteAddress ?? '127.0.0.1'}:${request.socket.remotePort ?? 0}`;
  const agent = (request.headers['user-agent'] ?? '')
    .replaceAll(/[^\u0020-\u007E]/g, '?')
    .trim()
    .slice(0, 80);
  return agent === '' ? from : `${from} (${agent})`;
}

/** Aborts when the client's connection closes before the answer is written. */
export function callerGone(request: FastifyRequest, reply: FastifyReply): AbortSignal {
  const controller = new AbortController();
  const onClose = (): void => {
    if (!reply.raw.writableFinished) controller.abort(new Error('the caller went away'));
  };
  if (request.raw.socket?.destroyed || reply.raw.destroyed) onClose();
  else reply.raw.once('close', onClose);
  return controller.signal;
}
