import type { FastifyError, FastifyReply, FastifyRequest } from 'fastify';
import { hasZodFastifySchemaValidationErrors } from 'fastify-type-provider-zod';
import type { Socket } from 'node:net';
import { QuiesceError, toQuiesceError } from '../errors.ts';
import type { Logger } from '../logger.ts';

/** What may travel beside `error` in an answer. */
const COMPANIONS = ['receipt', 'checks'] as const;

interface ErrorAnswer {
  readonly error: ReturnType<QuiesceError['toBody']>;
  readonly receipt?: unknown;
  readonly checks?: unknown;
}

export function errorBody(error: QuiesceError): ErrorAnswer {
  const beside = COMPANIONS.filter((name) => error.details[name] !== undefined);
  return {
    error: error.toBody(),
    ...Object.fromEntries(beside.map((name) => [name, error.details[name]])),
  };
}

/** The one way an error leaves the API. The text of an unexpected one stays in the log. */
export function answerError(logger: Logger) {
  return (thrown: unknown, request: FastifyRequest, reply: FastifyReply): FastifyReply => {
    const error = translate(thrown);
    if (error.code === 'INTERNAL') {
      logger.error(
        { err: error.cause ?? error, method: request.method, route: request.routeOptions.url },
        'a request failed unexpectedly',
      );
    }
    if (error.code === 'UNAUTHORIZED') void reply.header('www-authenticate', 'Bearer');
    return reply.code(error.status).send(errorBody(error));
  };
}

function translate(thrown: unknown): QuiesceError {
  if (thrown instanceof QuiesceError) return thrown;
  if (hasZodFastifySchemaValidationErrors(thrown)) return invalidField(thrown);
  const { code, statusCode } = thrown as Partial<FastifyError>;
  if (code === 'FST_ERR_CTP_BODY_TOO_LARGE') {
    return new QuiesceError('BODY_TOO_LARGE', 'The request body is larger than 64 KiB.');
  }
  if (code === 'FST_ERR_CTP_INVALID_MEDIA_TYPE') {
    return new QuiesceError('UNSUPPORTED_MEDIA_TYPE', 'The content-type header cannot be read.');
  }
  if (statusCode !== undefined && statusCode >= 400 && statusCode < 500) {
    return new QuiesceError('BAD_REQUEST', 'The request cannot be read.', { cause: thrown });
  }
  return toQuiesceError(thrown);
}

interface ZodIssue {
  readonly keyword: string;
  readonly instancePath: string;
  readonly message?: string;
  readonly params: { readonly keys?: readonly string[] };
}

function invalidField(error: { validation: readonly ZodIssue[]; validationContext?: string }) {
  const [issue] = error.validation;
  const path = (issue?.instancePath ?? '').split('/').filter((part) => part !== '');
  const unknown = issue?.params.keys;
  if (issue?.keyword === 'unrecognized_keys' && unknown?.[0] !== undefined) {
    const field = printable([...path, unknown[0]].join('.'));
    const where = error.validationContext === 'querystring' ? 'query parameter' : 'field';
    return new QuiesceError('INVALID_FIELD', `${field}: unknown ${where}.`, { field });
  }
  if (path.length === 0) {
    return new QuiesceError('INVALID_FIELD', 'The body must be a JSON object.');
  }
  const field = printable(path.join('.'));
  return new QuiesceError('INVALID_FIELD', `${field}: ${issue?.message ?? 'is not valid'}.`, {
    field,
  });
}

function printable(text: string): string {
  return text.replaceAll(/[^\u0020-\u007E]/g, '?').slice(0, 100);
}

/** Answers what the HTTP parser refused; the connection ends with it. */
export function answerClientError(error: NodeJS.ErrnoException, socket: Socket): void {
  if (error.code === 'ECONNRESET' || socket.destroyed || !socket.writable) {
    socket.destroy();
    return;
  }
  const refusal = new QuiesceError('BAD_REQUEST', 'The request is not well-formed HTTP.');
  const body = JSON.stringify(errorBody(refusal));
  socket.end(
    `HTTP/1.1 ${refusal.status} Bad Request\r\ncontent-type: application/json; charset=utf-8\r\n` +
      `content-length: ${Buffer.byteLength(body)}\r\nconnection: close\r\n\r\n${body}`,
  );
}
