import { connect } from 'node:net';
import { BadValue, duration, list } from '../lib/command-line/flags.ts';
import { quote } from '../lib/command-line/printable.ts';
import { verb } from './verb.ts';

/** Whether a TCP port took a connection. */
interface Reached {
  readonly target: string;
  readonly ok: boolean;
  readonly ms: number;
  /** Why not: `ECONNREFUSED`, `ENOTFOUND`, `ETIMEDOUT`. */
  readonly code?: string;
}

const TARGET = /^(.+):(\d{1,5})$/;

export const run = verb({
  name: 'reach',
  usage: ['--target HOST:PORT... [--timeout 3s] [-o json]'],
  about: 'Connects to TCP ports from where it runs, and sends nothing.',
  flags: {
    target: list('HOST:PORT', 'what to connect to', {}, (given) => {
      if (TARGET.test(given)) return given;
      throw new BadValue(`must be HOST:PORT, not ${quote(given)}`);
    }),
    timeout: duration('how long each may take', { fallback: '3s' }, 1),
  },
  formats: ['json'],
  compact: true,
  exits: { 0: 'done, whatever was found', 2: 'bad flags' },
  work: async ({ target, timeout }, surface) => {
    const targets = await Promise.all(target.map((one) => reach(one, timeout)));
    await surface.print({ targets }, '');
    return 0;
  },
});

async function reach(target: string, withinMs: number): Promise<Reached> {
  const [, host = '', port = ''] = TARGET.exec(target) ?? [];
  const begun = performance.now();
  const code = await new Promise<string | undefined>((resolve) => {
    const socket = connect({ host, port: Number(port) });
    const end = (found?: string): void => {
      clearTimeout(timer);
      socket.destroy();
      resolve(found);
    };
    // A name that nobody answers for takes longer than a connection: it counts, too.
    const timer = setTimeout(() => end('ETIMEDOUT'), withinMs);
    socket.on('connect', () => end());
    socket.on('error', (error: NodeJS.ErrnoException) => end(error.code ?? 'UNKNOWN'));
  });
  const ms = Math.round(performance.now() - begun);
  return { target, ok: code === undefined, ms, ...(code !== undefined && { code }) };
}
