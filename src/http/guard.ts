import { createHash, timingSafeEqual } from 'node:crypto';
import type { IncomingHttpHeaders } from 'node:http';
import { QuiesceError } from '../errors.ts';
import { hostsOf } from './message.ts';

/**
 * Checks a request to the loopback port before anything else. The Host rule keeps a web page from
 * reaching the port through a host name of its own (DNS rebinding). The Origin rule keeps it from sending
 * requests whose answer it cannot read.
 *
 * @throws QuiesceError HOST_REFUSED, ORIGIN_REFUSED, UNAUTHORIZED
 */
export function guardLoopback(
  headers: IncomingHttpHeaders,
  target: string,
  token: string | undefined,
): void {
  const own = /^(?:localhost|127\.0\.0\.1)(?::\d{1,5})?$/i;
  if (!hostsOf(headers.host, target).every((host) => own.test(host))) {
    throw new QuiesceError('HOST_REFUSED', 'The Host header must be localhost or 127.0.0.1.');
  }
  if (headers.origin !== undefined) {
    throw new QuiesceError('ORIGIN_REFUSED', 'Requests from web pages are refused.');
  }
  if (token === undefined) return;
  const given = /^Bearer +(\S+) *$/i.exec(headers.authorization ?? '')?.[1];
  if (given === undefined || !sameSecret(given, token)) {
    throw new QuiesceError('UNAUTHORIZED', 'A valid bearer token is required.');
  }
}

/** Compares digests, so that the time taken reveals neither the length nor a prefix. */
function sameSecret(a: string, b: string): boolean {
  const digest = (text: string): Buffer => createHash('sha256').update(text).digest();
  return timingSafeEqual(digest(a), digest(b));
}
