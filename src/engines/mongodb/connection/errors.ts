import { type ErrorCode, QuiesceError } from '../../../errors.ts';

/** Describes the call that failed, for the error's sentence. */
export interface ErrorContext {
  /** Completes "Cannot …": `lock the server`, `read the status of the set`, … */
  readonly doing: string;
  /** `host:port`. */
  readonly target: string;
  readonly secrets: readonly string[];
}

interface DriverError {
  readonly name?: string;
  readonly message?: string;
  readonly code?: unknown;
  readonly codeName?: unknown;
  readonly cause?: unknown;
  readonly reason?: unknown;
}

/** https://www.mongodb.com/docs/manual/reference/error-codes/ */
const UNAUTHORIZED = 13;
const AUTHENTICATION_FAILED = 18;
const STARTING = new Set([91, 11600, 11602, 13436]);

const TLS_CODES =
  /^(?:ERR_(?:TLS|SSL|OSSL)|CERT_|DEPTH_ZERO|SELF_SIGNED|UNABLE_TO_(?:VERIFY|GET_ISSUER)|EPROTO)/;

/**
 * Turns an error of the driver or the server into one that may be shown to a user. It never includes the
 * original: the driver attaches its options and topology, which can contain secrets.
 */
export function toEngineError(error: unknown, context: ErrorContext): QuiesceError {
  if (error instanceof QuiesceError) return error;
  const { name = '', code } = error as DriverError;
  const detail = clean(messageOf(error as DriverError), context.secrets);
  const where = `${context.doing} at ${context.target}`;
  const made = (known: ErrorCode, sentence: string, hint?: string): QuiesceError =>
    new QuiesceError(known, sentence, hint === undefined ? {} : { hint });
  if (code === AUTHENTICATION_FAILED || name === 'MongoMissingCredentialsError') {
    return made('ENGINE_AUTH', `Cannot ${where}: ${detail}.`);
  }
  if (code === UNAUTHORIZED) {
    const anonymous = /requires authentication/i.test(detail);
    return anonymous
      ? made(
          'ENGINE_AUTH',
          `Cannot ${where}: the server requires a user and a password.`,
          'Add them to MONGODB_URI, or set MONGODB_USERNAME and MONGODB_PASSWORD.',
        )
      : made(
          'ENGINE_PRIVILEGE',
          `Cannot ${where}: ${detail}.`,
          'Create the role of roles/mongodb.json as an administrator and grant it to this user.',
        );
  }
  if (typeof code === 'number' && STARTING.has(code)) {
    return made('ENGINE_STARTING', `Cannot ${where}: ${detail}.`);
  }
  if (isTls(error)) return made('ENGINE_TLS', `Cannot ${where}: ${detail}.`);
  if (
    /^Mongo(?:Network|ServerSelection|PoolCleared|TopologyClosed|ServerClosed|NotConnected|Operation)/.test(
      name,
    )
  ) {
    return made('ENGINE_UNREACHABLE', `Cannot ${where}: ${detail}.`);
  }
  return made('ENGINE_FAILED', `Cannot ${where}: ${detail}.`);
}

function isTls(error: unknown): boolean {
  for (let at = error as DriverError | undefined, depth = 0; at && depth < 6; depth += 1) {
    if (typeof at.code === 'string' && TLS_CODES.test(at.code)) return true;
    if (/certificate|ssl routines|tls/i.test(at.message ?? '')) return true;
    at = (at.cause ?? firstServerError(at.reason)) as DriverError | undefined;
  }
  return false;
}

/** The driver keeps the cause of a failed server selection in the description of that server. */
function firstServerError(reason: unknown): unknown {
  const servers = (reason as { servers?: Map<string, { error?: unknown }> } | undefined)?.servers;
  return servers instanceof Map ? [...servers.values()][0]?.error : undefined;
}

function messageOf(error: DriverError): string {
  const { message = 'unknown failure', codeName } = error;
  const first = message.split('\n')[0]?.trim().replace(/\.$/, '') ?? '';
  return typeof codeName === 'string' && !message.includes(codeName)
    ? `${first} (${codeName})`
    : first;
}

/** Removes secrets, and the session fields that the driver adds to each command. */
function clean(words: string, secrets: readonly string[]): string {
  let text = words
    .replaceAll(/, lsid: \{.*?\}(?=[,\s])/g, '')
    .replaceAll(/, \$(?:db|clusterTime): .*$/g, ' }')
    .replaceAll(/mongodb(?:\+srv)?:\/\/[^\s]*@/g, 'mongodb://***@');
  for (const secret of secrets) text = text.replaceAll(secret, '***');
  return text.slice(0, 300);
}
