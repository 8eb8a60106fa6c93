import type { IncomingMessage, ServerResponse } from 'node:http';
import { tooLarge } from './body.ts';

const continued = new WeakSet<IncomingMessage>();

/** Whether the client holds its body back until it is continued to go on. */
export function awaitsContinue(request: IncomingMessage): boolean {
  const { headers, httpVersion } = request;
  return (
    httpVersion === '1.1' && /^100-continue$/i.test(headers.expect ?? '') && !continued.has(request)
  );
}

/**
 * Tells a client that waits to send its body. By then the request was looked at, so what would be
 * refused all the same is refused before megabytes were sent for nothing.
 *
 * @throws QuiesceError BODY_TOO_LARGE
 */
export function sendContinue(
  request: IncomingMessage,
  response: ServerResponse,
  bodyLimit: number,
): void {
  if (!awaitsContinue(request)) return;
  if (Number(request.headers['content-length'] ?? 0) > bodyLimit) throw tooLarge(bodyLimit);
  continued.add(request);
  response.writeContinue();
}
