import type { IncomingMessage, ServerResponse } from 'node:http';
import { tooLarge } from './body.ts';

const told = new WeakSet<IncomingMessage>();

/** Whether the client holds its body back until it is told to go on. */
export function isWaiting(request: IncomingMessage): boolean {
  const { headers, httpVersion } = request;
  return (
    httpVersion === '1.1' && /^100-continue$/i.test(headers.expect ?? '') && !told.has(request)
  );
}

/**
 * Tells a client that waits to send its body. By then the request was looked at, so what would be
 * refused all the same is refused before megabytes were sent for nothing.
 *
 * @throws QuiesceError BODY_TOO_LARGE
 */
export function letGoOn(
  request: IncomingMessage,
  response: ServerResponse,
  bodyLimit: number,
): void {
  if (!isWaiting(request)) return;
  if (Number(request.headers['content-length'] ?? 0) > bodyLimit) throw tooLarge(bodyLimit);
  told.add(request);
  response.writeContinue();
}
