import { isatty } from 'node:tty';
import { writeTo } from '../lib/command-line/failure.ts';
import type { ShimVerb } from './args.ts';

/** A signal closes the connection, by which the sidecar knows that its caller has gone. */
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
 * On a terminal the seconds are counted. Elsewhere a line comes now and then: an exec stream on which
 * nothing comes for a minute is cut by what lies between.
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
