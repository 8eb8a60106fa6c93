import { type ErrorCode, QuiesceError } from '../../../errors.ts';

/** The server refused a command: its ACL forbids it, or it is renamed, disabled or unknown. */
export class RefusedError extends QuiesceError {
  /** `CONFIG SET`, … */
  readonly command: string;

  constructor(command: string, message: string, hint: string, cause: unknown) {
    super('ENGINE_PRIVILEGE', message, { hint, cause });
    this.command = command;
  }
}

/** First word of an error reply → error code. Source: Redis documentation, "Redis serialization protocol". */
const BY_PREFIX: Readonly<Record<string, ErrorCode>> = {
  LOADING: 'ENGINE_STARTING',
  MASTERDOWN: 'ENGINE_NOT_STREAMING',
  NOAUTH: 'ENGINE_AUTH',
  WRONGPASS: 'ENGINE_AUTH',
};

const REFUSED =
  /^ERR (?:unknown (?:command|subcommand)|Unknown subcommand|unsupported CONFIG|command .* not allowed)/i;
const NO_PASSWORD = /^ERR (?:AUTH .* called without any password|invalid password)/i;

/**
 * Turns any error of a command into one that may be shown to a user.
 *
 * @param command the command sent, without arguments that could be secret.
 * @param user the user whose ACL must allow the command.
 */
export function toEngineError(error: unknown, command: string, user: string): QuiesceError {
  if (error instanceof QuiesceError) return error;
  const message = error instanceof Error ? error.message : String(error);
  const prefix = /^[A-Z]+\b/.exec(message)?.[0] ?? '';
  if (prefix === 'NOPERM') {
    const rule = `+${command.toLowerCase().replace(' ', '|')}`;
    return new RefusedError(
      command,
      `The ACL does not allow ${command} for the user "${user}": ${sentence(message)}`,
      `Run as an administrator: ACL SETUSER ${user} ${rule} (or apply all of roles/redis.acl).`,
      error,
    );
  }
  if (REFUSED.test(message)) {
    return new RefusedError(
      command,
      `The server does not offer ${command}: ${sentence(message)}`,
      'If rename-command gave it another name, set REDIS_RENAMED_COMMANDS (CONFIG=name,CLIENT=name).',
      error,
    );
  }
  if (NO_PASSWORD.test(message)) return failed('ENGINE_AUTH', command, message, error);
  return failed(BY_PREFIX[prefix] ?? 'ENGINE_FAILED', command, message, error);
}

function failed(code: ErrorCode, command: string, message: string, cause: unknown): QuiesceError {
  return new QuiesceError(code, `${command}: ${sentence(message)}`, { cause });
}

/** Drops the arguments that the server echoes for an unknown command: those of AUTH hold the password. */
function sentence(text: string): string {
  const line =
    text
      .split('\n')[0]
      ?.replace(/, with args beginning with.*/i, '')
      .trim() ?? '';
  return /[.!?]$/.test(line) ? line : `${line}.`;
}

/** The fields of an INFO reply. */
export type Info = ReadonlyMap<string, string>;

export function parseInfo(text: string): Info {
  const fields = new Map<string, string>();
  for (const line of text.split(/\r?\n/)) {
    const colon = line.indexOf(':');
    if (colon > 0 && !line.startsWith('#')) fields.set(line.slice(0, colon), line.slice(colon + 1));
  }
  return fields;
}

/** A whole number; `null` where the server does not report the field. */
export function numberOf(info: Info, field: string): number | null {
  const value = info.get(field);
  return value !== undefined && /^-?\d+$/.test(value) ? Number(value) : null;
}

/** Reads the flat list `name, value, name, value, …` that CONFIG GET returns. */
export function parsePairs(reply: unknown): ReadonlyMap<string, string> {
  const items = Array.isArray(reply) ? reply.map(String) : [];
  const pairs = new Map<string, string>();
  for (let at = 0; at + 1 < items.length; at += 2) pairs.set(items[at] ?? '', items[at + 1] ?? '');
  return pairs;
}
