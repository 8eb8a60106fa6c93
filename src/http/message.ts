import type { IncomingMessage } from 'node:http';
import { QuiesceError } from '../errors.ts';

/** No client sends as many. All are read, for a rule about a header must not be blind to the last. */
const MOST_HEADERS = 100;

/** Of two of these only one would be looked at, and the sender may have meant the other. */
const ONCE = new Set(['authorization', 'content-encoding', 'content-type', 'host', 'origin']);

/** A name, an IPv4 address or an IPv6 address in brackets, and perhaps a port (RFC 9112, 3.2). */
const HOST = /^(?:\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9._~!$&'()*+,;=%-]*)(?::\d{0,5})?$/;

const ABSOLUTE = /^https?:\/\/([^/?#]*)(.*)$/i;

/** The target without scheme and authority, as `rewriteUrl` of fastify wants it. */
export function originForm(target: string): string {
  const [, , rest] = ABSOLUTE.exec(target) ?? [];
  if (rest === undefined) return target;
  return rest.startsWith('/') ? rest : `/${rest}`;
}

/** Every host that a request names: of its Host header, and of a target in absolute form. */
export function hostsOf(host: string | undefined, target: string): readonly string[] {
  const [, authority] = ABSOLUTE.exec(target) ?? [];
  return authority === undefined ? [host ?? ''] : [host ?? '', authority];
}

/**
 * Refuses what Node's parser lets pass although it is no well-formed request, or would answer itself.
 *
 * @param target as it was sent
 * @throws QuiesceError BAD_REQUEST, HEADERS_TOO_LARGE, EXPECTATION_FAILED
 */
export function checkMessage(request: IncomingMessage, target: string): void {
  const { headers, httpVersion, method, rawHeaders } = request;
  const names = rawHeaders.filter((_text, at) => at % 2 === 0).map((name) => name.toLowerCase());
  if (names.length > MOST_HEADERS) {
    throw new QuiesceError(
      'HEADERS_TOO_LARGE',
      `The request has more than ${MOST_HEADERS} headers.`,
    );
  }
  const twice = names.find((name, at) => ONCE.has(name) && names.indexOf(name) !== at);
  if (twice !== undefined) throw bad(`The header ${twice} stands in the request twice.`);
  if (httpVersion !== '1.1' && httpVersion !== '1.0') {
    throw bad(`The version HTTP/${httpVersion} is not spoken here.`);
  }
  if (httpVersion === '1.1' && headers.host === undefined) {
    throw bad('The request has no Host header.');
  }
  if (!hostsOf(headers.host, target).every((host) => HOST.test(host))) {
    throw bad('The Host header or the host of the target is not one.');
  }
  checkCoding(headers['transfer-encoding'], httpVersion);
  const isPath = originForm(target).startsWith('/');
  if (!isPath && !(target === '*' && method === 'OPTIONS')) {
    throw bad('The target of the request is not a path.');
  }
  if (httpVersion === '1.1' && !/^(?:100-continue)?$/i.test(headers.expect ?? '')) {
    throw new QuiesceError('EXPECTATION_FAILED', 'Nothing but 100-continue may be expected.');
  }
}

function checkCoding(coding: string | undefined, httpVersion: string): void {
  if (coding === undefined) return;
  if (httpVersion === '1.0') throw bad('HTTP/1.0 has no transfer codings.');
  if (coding.trim().toLowerCase() !== 'chunked') {
    throw bad('The transfer coding of the body is not chunked alone.');
  }
}

function bad(message: string): QuiesceError {
  return new QuiesceError('BAD_REQUEST', message);
}
