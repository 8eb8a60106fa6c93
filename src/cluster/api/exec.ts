import { once } from 'node:events';
import { ANSWER_WITHIN_MS } from './client.ts';
import { openChannels } from './channels.ts';
import type { ApiServer } from './server.ts';

/** The container to run a command in. */
export interface ExecPlace {
  readonly namespace: string;
  readonly pod: string;
  readonly container: string;
}

/** The output of a command. */
export interface Printed {
  readonly stdout: string;
  readonly stderr: string;
  /** Its exit code; `undefined`: the connection ended without one. */
  readonly exit?: number | undefined;
  /** Why it could not be run, in the words of the container runtime. */
  readonly failure?: string | undefined;
}

const PROTOCOLS = ['v5.channel.k8s.io', 'v4.channel.k8s.io'];
const STDOUT = 1;
const STDERR = 2;
const STATUS = 3;

/**
 * Runs a command in a container. Rejects if it cannot be run, or if the signal aborts first: half a minute
 * where none is given. The command itself may go on then: no runtime ends it with its connection.
 */
export async function runIn(
  server: ApiServer,
  { namespace, pod, container }: ExecPlace,
  command: readonly string[],
  signal?: AbortSignal,
): Promise<Printed> {
  const limit = signal ?? AbortSignal.timeout(ANSWER_WITHIN_MS);
  const query = new URLSearchParams({
    container,
    stdin: 'false',
    stdout: 'true',
    stderr: 'true',
    tty: 'false',
  });
  for (const word of command) query.append('command', word);
  const path = `/api/v1/namespaces/${namespace}/pods/${pod}/exec?${query.toString()}`;
  const output = new Map([STDOUT, STDERR].map((one) => [one, [] as Buffer[]]));
  let ended: Pick<Printed, 'exit' | 'failure'> | undefined;
  let close = (): void => undefined;
  const receive = (channel: number, content: Buffer): void => {
    output.get(channel)?.push(content);
    if (channel !== STATUS) return;
    ended = endOf(content);
    close();
  };
  const opening = { protocols: PROTOCOLS, receive, signal: limit };
  const { socket } = await openChannels(server, path, opening).catch((error: unknown) => {
    throw limit.aborted ? reasonOf(limit, signal) : error;
  });
  close = () => socket.close();
  if (ended !== undefined) close();
  const stop = (): void => socket.terminate();
  limit.addEventListener('abort', stop);
  if (limit.aborted) stop();
  if (socket.readyState !== socket.CLOSED) await once(socket, 'close');
  limit.removeEventListener('abort', stop);
  if (ended === undefined && limit.aborted) throw reasonOf(limit, signal);
  const [stdout = '', stderr = ''] = [...output.values()].map((parts) =>
    Buffer.concat(parts).toString('utf8'),
  );
  return { stdout, stderr, ...ended };
}

function reasonOf(limit: AbortSignal, given: AbortSignal | undefined): unknown {
  return given === undefined ? new Error('it did not end within half a minute') : limit.reason;
}

interface Status {
  readonly status?: string;
  readonly message?: string;
  readonly details?: {
    readonly causes?: readonly { readonly reason?: string; readonly message?: string }[];
  };
}

/** The exit code in a Status: that of a failed command is the cause `ExitCode`. */
function endOf(content: Buffer): Pick<Printed, 'exit' | 'failure'> {
  let status: Status;
  try {
    status = JSON.parse(content.toString('utf8')) as Status;
  } catch {
    return {};
  }
  if (status.status === 'Success') return { exit: 0 };
  const code = status.details?.causes?.find(({ reason }) => reason === 'ExitCode')?.message ?? '';
  return /^\d{1,3}$/.test(code)
    ? { exit: Number(code) }
    : { failure: status.message ?? 'the command could not be run' };
}
