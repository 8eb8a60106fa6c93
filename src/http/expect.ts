import type { IncomingMessage, ServerResponse } from 'node:http';
import { tooLarge } from './body.ts';

const continued = new WeakSet<IncomingMessage>();

/** Whether the client sends its body only after `100 Continue`, and has not got it. */
export function awaitsContinue(request: IncomingMessage): boolean {
  const { headers, httpVersion } = request;
  return (
    httpVersion === '1.1' && /^100-continue$/i.test(headers.expect ?? '') && !continued.has(request)
  );
}

/**
 * Sends `100 Continue` to a client that waits for it. Call it after the request was checked, so that a
 * request that is refused anyway is refused before its client has sent megabytes.
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
