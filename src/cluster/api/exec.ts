import { PassThrough } from 'node:stream';
import { text as readAll } from 'node:stream/consumers';
import { Exec, type KubeConfig } from '@kubernetes/client-node';
import { Deferred } from '../../lib/deferred.ts';
import { ANSWER_WITHIN_MS } from './client.ts';

/** Where a command is run. */
export interface ExecPlace {
  readonly namespace: string;
  readonly pod: string;
  readonly container: string;
}

/** What it printed: standard output and standard error. Its exit code says nothing more. */
export interface Printed {
  readonly stdout: string;
  readonly stderr: string;
}

/** Runs a command in a container, for half a minute at most. Rejects where it cannot be run. */
export async function runIn(
  config: KubeConfig,
  { namespace, pod, container }: ExecPlace,
  command: readonly string[],
): Promise<Printed> {
  const [stdout, stderr] = [new PassThrough(), new PassThrough()];
  const printed = Promise.all([readAll(stdout), readAll(stderr)]);
  const ended = new Deferred<undefined>();
  const late = setTimeout(() => {
    ended.reject(new Error('it did not end within half a minute'));
  }, ANSWER_WITHIN_MS);
  try {
    const words = [...command];
    const exec = new Exec(config);
    const socket = await Promise.race([
      exec.exec(namespace, pod, container, words, stdout, stderr, null, false, () => {
        ended.resolve(undefined);
      }),
      ended.promise,
    ]);
    socket?.on('close', () => {
      ended.resolve(undefined);
    });
    await ended.promise;
    socket?.close();
  } catch (error) {
    // The client rejects with the event of its socket, which is no Error.
    const { message = 'the connection failed' } = error as { message?: string };
    throw new Error(message, { cause: error });
  } finally {
    clearTimeout(late);
    stdout.end();
    stderr.end();
  }
  const [out, err] = await printed;
  return { stdout: out, stderr: err };
}
