import { type Socket, connect } from 'node:net';
import { QuiesceError } from '../errors.ts';
import { VERSION } from '../version.ts';
import { CutShort, Garbled, type Response, ResponseReader } from './response.ts';

export interface Call {
  readonly method: 'GET' | 'POST';
  readonly path: string;
  readonly body?: unknown;
  /** In addition to those of every request. */
  readonly headers?: Readonly<Record<string, string>>;
  /** When to stop waiting, in milliseconds. */
  readonly deadlineMs: number;
  /** Asked at the deadline, and every five seconds after it: the call keeps waiting while this is `true`. */
  readonly stillWorking?: () => Promise<boolean>;
  /** A sentence about the state of the database, for the error when no answer came. */
  readonly unanswered: string;
}

export interface Answer {
  readonly ok: boolean;
  readonly body: Readonly<Record<string, unknown>>;
}

/**
 * Why a call got no answer. `not-connected`: nothing was sent, so nothing was done. `broken`: the
 * connection broke, and the request may or may not have been carried out. `late`: the deadline passed.
 * `aborted`: the caller's signal aborted.
 */
export type Failure = 'not-connected' | 'broken' | 'late' | 'aborted';

/** No answer came: SIDECAR_UNREACHABLE, with the reason, which decides whether a retry is safe. */
export class Unanswered extends QuiesceError {
  readonly failure: Failure;

  constructor(failure: Failure, message: string, options: { hint?: string; cause: unknown }) {
    super('SIDECAR_UNREACHABLE', message, options);
    this.failure = failure;
  }
}

/** How long to wait before asking again whether the sidecar is still working. */
const ASK_AGAIN_MS = 5_000;

/**
 * Sends one request over the control socket. The signal and the deadline close the connection, which
 * shows the sidecar that its caller has gone.
 *
 * @throws Unanswered if no answer came; QuiesceError INTERNAL if the answer is not a JSON object
 */
export async function call(socketPath: string, wanted: Call, signal: AbortSignal): Promise<Answer> {
  const { status, text } = await exchange(socketPath, wanted, signal);
  try {
    const body = JSON.parse(text) as unknown;
    if (typeof body === 'object' && body !== null && !Array.isArray(body)) {
      return { ok: status === 200, body: body as Answer['body'] };
    }
  } catch {
    // Reported below: an answer that is not JSON does not come from a sidecar.
  }
  throw new QuiesceError(
    'INTERNAL',
    `The program that listens on ${socketPath} does not answer like quiesce.`,
  );
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
        if (await wanted.stillWorking?.()) timer = setTimeout(() => void late(), ASK_AGAIN_MS);
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

/** @throws TypeError if the path or a header is not printable ASCII, and so could begin a line of its own */
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
    throw new TypeError('the path and header fields must be printable ASCII');
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
    const when = wanted.stillWorking ? 'and is not working on one after' : 'within';
    const message = `The sidecar gave no answer ${when} ${seconds} s. ${wanted.unanswered}`;
    return new Unanswered('late', message, { hint, cause });
  }
  if (cause instanceof Aborted) {
    return new Unanswered('aborted', `The call was interrupted. ${wanted.unanswered}`, { cause });
  }
  if (connected || cause instanceof CutShort || cause instanceof Garbled) {
    const message = `The sidecar closed the connection without an answer. ${wanted.unanswered}`;
    return new Unanswered('broken', message, { hint, cause });
  }
  if (code === 'EACCES' || code === 'EPERM') {
    const message = `This user may not open the control socket ${socketPath}.`;
    return new Unanswered('not-connected', message, {
      hint: 'Run quiesce as the user that the sidecar runs as.',
      cause,
    });
  }
  const message = `Nothing answers on ${socketPath} (${code ?? 'no connection'}).`;
  return new Unanswered('not-connected', message, { cause });
}
