import { QuiesceError } from '../errors.ts';

/** The largest request body, in bytes. */
export const BODY_LIMIT = 64 * 1024;

/** No documented body is nested deeper; recursion over one that is could exhaust the stack. */
const DEEPEST = 32;

/**
 * Reads a request body, whatever its content type: an empty one is `{}`, any other must be declared
 * as JSON and be JSON.
 *
 * @throws QuiesceError UNSUPPORTED_MEDIA_TYPE, INVALID_JSON, INVALID_FIELD
 */
export function parseBody(contentType: string | undefined, body: Buffer): unknown {
  if (body.length === 0) return {};
  const type = contentType?.split(';')[0]?.trim().toLowerCase();
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
