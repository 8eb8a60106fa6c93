import { isatty } from 'node:tty';
import { writeTo } from '../lib/command-line/failure.ts';
import type { ShimVerb } from './args.ts';

/**
 * Aborts on a signal, which closes the connection: that shows the sidecar that its caller has gone.
 *
 * @returns an object that gets the exit code when a signal arrives
 */
export function interruptible(abort: AbortController): { code?: number } {
  const interrupted: { code?: number } = {};
  for (const [name, code] of [
    ['SIGINT', 130],
    ['SIGTERM', 143],
    ['SIGHUP', 129],
  ] as const) {
    process.once(name, () => {
      interrupted.code = code;
      abort.abort();
    });
  }
  return interrupted;
}

/**
 * Shows how long the command has been waiting: on a terminal every two seconds, elsewhere as a line
 * every twenty. Proxies between kubectl and a pod cut an exec stream that is silent for a minute.
 *
 * @returns stops it
 */
export function showProgress(verb: ShimVerb): () => void {
  const tty = isatty(2);
  const everyS = tty ? 2 : 20;
  let seconds = 0;
  const timer = setInterval(() => {
    seconds += everyS;
    const text = `${verb}: waiting for the sidecar, ${seconds} s`;
    writeTo(process.stderr, tty ? `\r${text} ` : `quiesce ${text}\n`);
  }, everyS * 1_000);
  return () => {
    clearInterval(timer);
    if (tty && seconds > 0) writeTo(process.stderr, '\r\u001B[K');
  };
}
