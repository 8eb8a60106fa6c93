import type { Socket } from 'node:net';
import { QuiesceError } from '../errors.ts';
import type { Connections } from './connections.ts';
import { originForm } from './message.ts';
import { rawAnswer } from './raw-answer.ts';
import type { RouteTable } from './route-table.ts';

interface ParserError extends NodeJS.ErrnoException {
  /** The bytes being read: a Buffer, although the types of fastify say otherwise. */
  readonly rawPacket?: unknown;
}

/** A request line whose method is any token, including ones that the parser does not know. */
const REQUEST_LINE = /^([!#$%&'*+.^_`|~0-9A-Za-z-]{1,64}) (\S+) HTTP\/1\.[01]\r?\n/;

/** Answers requests that the HTTP parser refused, then closes the connection. */
export function answerClientError(routes: RouteTable, connections: Connections) {
  return (error: ParserError, socket: Socket): void => {
    if (error.code === 'ECONNRESET' || socket.destroyed || !socket.writable) {
      socket.destroy();
      return;
    }
    const answer = refusalOf(error, routes);
    // Answers must come in the order of the requests: otherwise the client would match this one to an earlier request.
    connections.whenAnswered(socket, () => {
      if (socket.destroyed || !socket.writable) return;
      socket.write(answer);
      socket.destroySoon();
    });
  };
}

function refusalOf(error: ParserError, routes: RouteTable): string {
  switch (error.code ?? '') {
    case 'ERR_HTTP_REQUEST_TIMEOUT':
      return rawAnswer(
        new QuiesceError('REQUEST_TIMEOUT', 'The request did not arrive within 10 s.'),
      );
    case 'HPE_HEADER_OVERFLOW':
      return rawAnswer(
        new QuiesceError('HEADERS_TOO_LARGE', 'The headers of the request exceed 16 KiB.'),
      );
    case 'HPE_CHUNK_EXTENSIONS_OVERFLOW':
      return rawAnswer(new QuiesceError('BODY_TOO_LARGE', 'The chunk extensions exceed 16 KiB.'));
    case 'HPE_INVALID_METHOD':
      return unknownMethod(error, routes);
    default:
      return malformed();
  }
}

function unknownMethod({ rawPacket }: ParserError, routes: RouteTable): string {
  const start = Buffer.isBuffer(rawPacket) ? rawPacket.toString('latin1', 0, 2_048) : '';
  const [, method, target] = REQUEST_LINE.exec(start) ?? [];
  if (method === undefined || target === undefined || /^(?:GET|POST)$/.test(method)) {
    return malformed();
  }
  const { error, allow } = routes.refuse(method, originForm(target));
  return rawAnswer(error, allow === undefined ? {} : { allow });
}

function malformed(): string {
  return rawAnswer(new QuiesceError('BAD_REQUEST', 'The request is not well-formed HTTP.'));
}
