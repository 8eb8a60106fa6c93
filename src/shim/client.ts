import { request } from 'node:http';
import { QuiesceError } from '../errors.ts';
import { VERSION } from '../version.ts';

export interface Call {
  readonly method: 'GET' | 'POST';
  readonly path: string;
  readonly body?: unknown;
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

/** Between two questions whether the sidecar is still at work. */
const ASK_AGAIN_MS = 5_000;

/**
 * One request over the control socket. The connection closes with the signal or the deadline, which
 * tells the sidecar that its caller has gone.
 *
 * @throws QuiesceError SIDECAR_UNREACHABLE where no answer came, INTERNAL where it was not one of a
 *   sidecar
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

function exchange(socketPath: string, wanted: Call, signal: AbortSignal) {
  const payload = wanted.body === undefined ? undefined : JSON.stringify(wanted.body);
  return new Promise<{ status: number; text: string }>((resolve, reject) => {
    const fail = (error: unknown): void => {
      clearTimeout(timer);
      reject(unreachable(socketPath, wanted, error));
    };
    const sent = request(
      {
        socketPath,
        signal,
        method: wanted.method,
        path: wanted.path,
        agent: false,
        headers: {
          host: 'localhost',
          'user-agent': `quiesce-cli/${VERSION}`,
          connection: 'close',
          ...(payload === undefined
            ? {}
            : { 'content-type': 'application/json', 'content-length': Buffer.byteLength(payload) }),
        },
      },
      (response) => {
        const chunks: string[] = [];
        response.setEncoding('utf8');
        response.on('data', (chunk: string) => chunks.push(chunk));
        response.on('error', fail);
        response.on('end', () => {
          clearTimeout(timer);
          resolve({ status: response.statusCode ?? 0, text: chunks.join('') });
        });
      },
    );
    const late = async (): Promise<void> => {
      if (await wanted.atWork?.()) timer = setTimeout(() => void late(), ASK_AGAIN_MS);
      else sent.destroy(new Late());
    };
    let timer = setTimeout(() => void late(), wanted.deadlineMs);
    sent.on('error', fail);
    sent.end(payload);
  });
}

class Late extends Error {}

function unreachable(socketPath: string, wanted: Call, error: unknown): QuiesceError {
  const code = (error as NodeJS.ErrnoException).code;
  if (error instanceof Late) {
    const seconds = wanted.deadlineMs / 1_000;
    return new QuiesceError(
      'SIDECAR_UNREACHABLE',
      `The sidecar gave no answer ${wanted.atWork ? 'and is not at work after' : 'within'} ${seconds} s. ${wanted.unanswered}`,
      { hint: 'See the log of the quiesce container, and quiesce status.', cause: error },
    );
  }
  if (code === 'ECONNRESET' || code === 'EPIPE' || code?.startsWith('HPE_')) {
    return new QuiesceError(
      'SIDECAR_UNREACHABLE',
      `The sidecar closed the connection without an answer. ${wanted.unanswered}`,
      { hint: 'See the log of the quiesce container, and quiesce status.', cause: error },
    );
  }
  if (code === 'EACCES' || code === 'EPERM') {
    return new QuiesceError(
      'SIDECAR_UNREACHABLE',
      `The control socket ${socketPath} is closed to this user.`,
      { hint: 'Run quiesce as the user of the sidecar.', cause: error },
    );
  }
  return new QuiesceError(
    'SIDECAR_UNREACHABLE',
    `Nothing answers on ${socketPath} (${code ?? 'no connection'}).`,
    { cause: error },
  );
}
