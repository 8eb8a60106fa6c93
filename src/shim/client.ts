import { type Socket, connect } from 'node:net';
import { QuiesceError } from '../errors.ts';
import { VERSION } from '../version.ts';
import { CutShort, Garbled, type Response, ResponseReader } from './response.ts';

export interface Call {
  readonly method: 'GET' | 'POST';
  readonly path: string;
  readonly body?: unknown;
  /** Beside those that every request has. */
  readonly headers?: Readonly<Record<string, string>>;
  /** When to stop waiting, in milliseconds. */
  readonly deadlineMs: number;
  /** Asked at the deadline: while it says `true`, the answer is waited for a little longer. */
  readonly atWork?: () => Promise<boolean>;
  /** What is true of the database where no answer came. */
  readonly unanswered: string;
}

export interface Answer {
  readonly ok: boolean;
  readonly body: Readonly<Record<string, unknown>>;
}

/**
 * How a call came to no answer. `not-connected`: nothing was sent, so nothing was done. `broken`: the
 * request was on its way, and whether it was carried out is not known. `late`: the deadline.
 * `aborted`: by the caller's signal.
 */
export type Failure = 'not-connected' | 'broken' | 'late' | 'aborted';

/** No answer came: SIDECAR_UNREACHABLE, with what a caller must know before it tries again. */
export class Unanswered extends QuiesceError {
  readonly failure: Failure;

  constructor(failure: Failure, message: string, options: { hint?: string; cause: unknown }) {
    super('SIDECAR_UNREACHABLE', message, options);
    this.failure = failure;
  }
}

/** Between two questions whether the sidecar is still at work. */
const ASK_AGAIN_MS = 5_000;

/**
 * One request over the control socket. The connection closes with the signal or the deadline, which
 * tells the sidecar that its caller has gone.
 *
 * @throws Unanswered where no answer came; QuiesceError INTERNAL where it was not one of a sidecar
 */
export async function call(socketPath: string, wanted: Call, signal: AbortSignal): Promise<Answer> {
  const { status, text } = await exchange(socketPath, wanted, signal);
  try {
    const body = JSON.parse(text) as unknown;
    if (typeof body === 'object' && body !== null && !Array.isArray(body)) {
      return { ok: status === 200, body: body as Answer['body'] };
    }
  } catch {
    // Answered below: what is not JSON is no answer of a sidecar either.
  }
  throw new QuiesceError('INTERNAL', `What listens on ${socketPath} does not answer like quiesce.`);
}

async function exchange(path: string, wanted: Call, signal: AbortSignal): Promise<Response> {
  const request = requestOf(wanted);
  let connected = false;
  let socket: Socket | undefined;
  let timer: NodeJS.Timeout | undefined;
  let abort = (): void => undefined;
  try {
    return await new Promise<Response>((resolve, reject) => {
      abort = () => reject(new Aborted());
      signal.addEventListener('abort', abort);
      if (signal.aborted) abort();
      const late = async (): Promise<void> => {
        if (await wanted.atWork?.()) timer = setTimeout(() => void late(), ASK_AGAIN_MS);
        else reject(new Late());
      };
      timer = setTimeout(() => void late(), wanted.deadlineMs);
      socket = connect(path, () => {
        connected = true;
        socket?.write(request);
      });
      readAnswer(socket, resolve, reject);
    });
  } catch (error) {
    throw unanswered(path, wanted, connected, error);
  } finally {
    clearTimeout(timer);
    signal.removeEventListener('abort', abort);
    socket?.destroy();
  }
}

function readAnswer(
  socket: Socket,
  resolve: (response: Response) => void,
  reject: (error: unknown) => void,
): void {
  const reader = new ResponseReader();
  const read = (next: () => Response | undefined): void => {
    try {
      const response = next();
      if (response) resolve(response);
    } catch (error) {
      reject(error);
    }
  };
  socket.on('data', (piece: Buffer) => read(() => reader.push(piece)));
  socket.on('end', () => read(() => reader.end()));
  socket.on('error', reject);
  socket.on('close', () => reject(new CutShort()));
}

/** @throws TypeError where a value would begin a line of its own */
function requestOf({ method, path, body, headers }: Call): string {
  const payload = body === undefined ? '' : JSON.stringify(body);
  const fields = {
    host: 'localhost',
    'user-agent': `quiesce-cli/${VERSION}`,
    connection: 'close',
    ...(body === undefined
      ? {}
      : { 'content-type': 'application/json', 'content-length': Buffer.byteLength(payload) }),
    ...headers,
  };
  const lines = [
    `${method} ${path} HTTP/1.1`,
    ...Object.entries(fields).map(([name, value]) => `${name}: ${value}`),
  ];
  if (/[^\u0020-\u007E]/.test(lines.join('')) || path.includes(' ')) {
    throw new TypeError('a path and header fields are of printable ASCII');
  }
  return `${lines.join('\r\n')}\r\n\r\n${payload}`;
}

class Late extends Error {}
class Aborted extends Error {}

function unanswered(
  socketPath: string,
  wanted: Call,
  connected: boolean,
  cause: unknown,
): Unanswered {
  const { code } = cause as NodeJS.ErrnoException;
  const hint = 'See the log of the quiesce container, and quiesce status.';
  if (cause instanceof Late) {
    const seconds = wanted.deadlineMs / 1_000;
    const within = wanted.atWork ? 'and is not at work after' : 'within';
    const message = `The sidecar gave no answer ${within} ${seconds} s. ${wanted.unanswered}`;
    return new Unanswered('late', message, { hint, cause });
  }
  if (cause instanceof Aborted) {
    return new Unanswered('aborted', `The call was ended. ${wanted.unanswered}`, { cause });
  }
  if (connected || cause instanceof CutShort || cause instanceof Garbled) {
    const message = `The sidecar closed the connection without an answer. ${wanted.unanswered}`;
    return new Unanswered('broken', message, { hint, cause });
  }
  if (code === 'EACCES' || code === 'EPERM') {
    const message = `The control socket ${socketPath} is closed to this user.`;
    return new Unanswered('not-connected', message, {
      hint: 'Run quiesce as the user of the sidecar.',
      cause,
    });
  }
  const message = `Nothing answers on ${socketPath} (${code ?? 'no connection'}).`;
  return new Unanswered('not-connected', message, { cause });
}
