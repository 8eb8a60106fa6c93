import { PassThrough } from 'node:stream';
import { text as readAll } from 'node:stream/consumers';
import { Exec, type KubeConfig } from '@kubernetes/client-node';
import { Deferred } from '../../lib/deferred.ts';
import { ANSWER_WITHIN_MS } from './client.ts';

/** The container to run a command in. */
export interface ExecPlace {
  readonly namespace: string;
  readonly pod: string;
  readonly container: string;
}

/** The output of a command. Its exit code is not kept. */
export interface Printed {
  readonly stdout: string;
  readonly stderr: string;
}

/** Runs a command in a container. Rejects if it cannot be run, or has not ended after half a minute. */
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
    // The client rejects with a socket event, which is not an Error.
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
