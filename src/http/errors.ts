import type { FastifyError, FastifyReply, FastifyRequest } from 'fastify';
import { hasZodFastifySchemaValidationErrors } from 'fastify-type-provider-zod';
import type { IncomingMessage } from 'node:http';
import { QuiesceError, toQuiesceError } from '../errors.ts';
import type { Logger } from '../logger.ts';
import { BODY_LIMIT, tooLarge } from './body.ts';
import { errorBody } from './error-body.ts';
import { awaitsContinue } from './expect.ts';

/** How many bytes of a refused body are read, and for how long, so that its sender sees the refusal. */
const MOST_DISCARDED = 64 * 1024 * 1024;
const DISCARD_MS = 2_000;

/** Sends every error of the API. The text of an unexpected one goes to the log only. */
export function answerError(logger: Logger) {
  return async (
    thrown: unknown,
    request: FastifyRequest,
    reply: FastifyReply,
  ): Promise<FastifyReply> => {
    const error = translate(thrown, request.routeOptions?.bodyLimit);
    // A client that never got `100 Continue` may still send the body next, or another request.
    if (awaitsContinue(request.raw)) void reply.header('connection', 'close');
    else if (error.code === 'BODY_TOO_LARGE' || mayBeLong(request)) await discardBody(request.raw);
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

/** Whether an unread body may be too large for the kernel's buffers. */
function mayBeLong({ is404, headers }: FastifyRequest): boolean {
  if (!is404) return false;
  return Number(headers['content-length'] ?? 0) > BODY_LIMIT || 'transfer-encoding' in headers;
}

/**
 * Reads and discards what the client still sends, within limits. Closing a connection in the middle of a
 * body resets it, and most clients then report the reset instead of the answer.
 */
async function discardBody(body: IncomingMessage): Promise<void> {
  if (body.complete || body.destroyed) return;
  let left = MOST_DISCARDED;
  let late: NodeJS.Timeout | undefined;
  await new Promise<void>((resolve) => {
    late = setTimeout(resolve, DISCARD_MS);
    for (const end of ['end', 'error', 'close']) body.once(end, () => resolve());
    body.on('data', (part: Buffer) => {
      left -= part.length;
      if (left < 0) resolve();
    });
  });
  clearTimeout(late);
}

function translate(thrown: unknown, bodyLimit = BODY_LIMIT): QuiesceError {
  if (thrown instanceof QuiesceError) return thrown;
  if (hasZodFastifySchemaValidationErrors(thrown)) return invalidField(thrown);
  const { code, statusCode } = thrown as Partial<FastifyError>;
  if (code === 'FST_ERR_CTP_BODY_TOO_LARGE') {
    return tooLarge(bodyLimit);
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
