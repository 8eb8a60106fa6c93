import type { IncomingHttpHeaders } from 'node:http';
import { QuiesceError } from '../errors.ts';

/** The largest request body, in bytes. */
export const BODY_LIMIT = 64 * 1024;

const MIB = 1024 * 1024;

/** No documented body is nested deeper. Recursion over a deeper one could exhaust the stack. */
const DEEPEST = 32;

/**
 * Reads a request body. An empty one is `{}`, whatever its content type. Any other must be declared as
 * JSON and be JSON.
 *
 * @throws QuiesceError UNSUPPORTED_MEDIA_TYPE, INVALID_JSON, INVALID_FIELD
 */
export function parseBody(headers: IncomingHttpHeaders, body: Buffer): unknown {
  if (body.length === 0) return {};
  const coding = headers['content-encoding'] ?? 'identity';
  if (coding.toLowerCase() !== 'identity') {
    throw new QuiesceError('UNSUPPORTED_MEDIA_TYPE', 'The body has a content-encoding.', {
      hint: 'Send it as plain JSON, without a content-encoding.',
    });
  }
  const type = headers['content-type']?.split(';')[0]?.trim().toLowerCase();
  if (type !== 'application/json') {
    throw new QuiesceError(
      'UNSUPPORTED_MEDIA_TYPE',
      type === undefined || type === ''
        ? 'The request has a body but no content-type.'
        : 'The content-type of the body is not application/json.',
    );
  }
  const value = parseJson(body);
  if (tooDeep(value)) {
    throw new QuiesceError('INVALID_FIELD', `The body is nested deeper than ${DEEPEST} levels.`);
  }
  return value;
}

function parseJson(body: Buffer): unknown {
  try {
    return JSON.parse(new TextDecoder('utf-8', { fatal: true }).decode(body)) as unknown;
  } catch (error) {
    throw new QuiesceError('INVALID_JSON', 'The body is not JSON in UTF-8.', { cause: error });
  }
}

function tooDeep(value: unknown): boolean {
  let level: unknown[] = [value];
  for (let depth = 0; depth <= DEEPEST; depth += 1) {
    level = level.flatMap((item) =>
      typeof item === 'object' && item !== null ? Object.values(item) : [],
    );
    if (level.length === 0) return false;
  }
  return true;
}

export function tooLarge(bodyLimit: number): QuiesceError {
  const limit = bodyLimit < MIB ? `${bodyLimit / 1024} KiB` : `${bodyLimit / MIB} MiB`;
  return new QuiesceError('BODY_TOO_LARGE', `The request body is larger than ${limit}.`);
}
