import type { IncomingMessage } from 'node:http';
import { QuiesceError } from '../errors.ts';

/** No client sends as many. All of them are read, because a rule about a header must see the last one too. */
const MOST_HEADERS = 100;

/** Only one of two such headers would count, and the sender may have meant the other. */
const ONCE = new Set(['authorization', 'content-encoding', 'content-type', 'host', 'origin']);

/** A name, an IPv4 address or an IPv6 address in brackets, with an optional port (RFC 9112, 3.2). */
const HOST = /^(?:\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9._~!$&'()*+,;=%-]*)(?::\d{0,5})?$/;

/** A header's name (RFC 9110, 5.6.2). The parser of Node 20.19.0 accepts a space in it. */
const TOKEN = /^[!#$%&'*+.^_`|~0-9A-Za-z-]+$/;

const ABSOLUTE = /^https?:\/\/([^/?#]*)(.*)$/i;

/** The target without scheme and authority, as fastify's `rewriteUrl` must return it. */
export function originForm(target: string): string {
  const [, , rest] = ABSOLUTE.exec(target) ?? [];
  if (rest === undefined) return target;
  return rest.startsWith('/') ? rest : `/${rest}`;
}

/** The hosts in a request: in its Host header, and in a target in absolute form. */
export function hostsOf(host: string | undefined, target: string): readonly string[] {
  const [, authority] = ABSOLUTE.exec(target) ?? [];
  return authority === undefined ? [host ?? ''] : [host ?? '', authority];
}

/**
 * Refuses requests that Node's parser accepts although they are malformed, or that Node would answer itself.
 *
 * @param target as the client sent it
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
  if (!names.every((name) => TOKEN.test(name))) {
    throw bad('The request has a malformed name of a header.');
  }
  const twice = names.find((name, at) => ONCE.has(name) && names.indexOf(name) !== at);
  if (twice !== undefined) throw bad(`The request has the header ${twice} twice.`);
  if (httpVersion !== '1.1' && httpVersion !== '1.0') {
    throw bad(`HTTP/${httpVersion} is not supported.`);
  }
  if (httpVersion === '1.1' && headers.host === undefined) {
    throw bad('The request has no Host header.');
  }
  if (!hostsOf(headers.host, target).every((host) => HOST.test(host))) {
    throw bad('The Host header or the target has a malformed host.');
  }
  checkCoding(headers['transfer-encoding'], httpVersion);
  const isPath = originForm(target).startsWith('/');
  if (!isPath && !(target === '*' && method === 'OPTIONS')) {
    throw bad('The target of the request is not a path.');
  }
  if (httpVersion === '1.1' && !/^(?:100-continue)?$/i.test(headers.expect ?? '')) {
    throw new QuiesceError(
      'EXPECTATION_FAILED',
      'Only 100-continue is supported as an expectation.',
    );
  }
}

function checkCoding(coding: string | undefined, httpVersion: string): void {
  if (coding === undefined) return;
  if (httpVersion === '1.0') throw bad('HTTP/1.0 has no transfer codings.');
  if (coding.trim().toLowerCase() !== 'chunked') {
    throw bad('Only chunked is supported as a transfer coding.');
  }
}

function bad(message: string): QuiesceError {
  return new QuiesceError('BAD_REQUEST', message);
}
