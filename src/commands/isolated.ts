import { connect } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';
import { QuiesceError } from '../errors.ts';
import { duration } from '../lib/command-line/flags.ts';
import { usage } from '../lib/command-line/read-flags.ts';
import { formatDuration } from '../lib/duration.ts';
import { verb } from './verb.ts';

const CONNECT_WITHIN_MS = 1_000;
const PAUSE_MS = 250;
const MOST = 50;
const SHORTEST_MS = 100;

/** The first container of a drill's pod runs it. It imports no Kubernetes client: it has no token either. */
export const run = verb({
  name: 'isolated',
  usage: ['[flags] [HOST:PORT]...'],
  about: `
Checks that none of the addresses can be reached from here, and in a pod that the API server cannot be
reached either. A drill runs it in each of its pods before anything else starts there.`,
  flags: {
    for: duration('how long nothing may be reached', { fallback: '2s' }, SHORTEST_MS),
    within: duration('until when that must be so', { fallback: '30s' }, SHORTEST_MS),
  },
  operands: MOST,
  formats: ['text', 'json'],
  exits: {
    0: 'nothing was reached',
    5: 'something was reached, or was reached again and again',
    2: 'bad flags, or no address',
    1: 'unexpected',
  },
  work: async (options, surface) => {
    const addresses = [...new Set([...surface.operands, ...apiServer()])].map(parsed);
    if (addresses.length === 0) throw usage('isolated', 'no address was given');
    const found = await watch(addresses, options.for, options.within);
    if (found.length > 0) {
      const text = `Reached from this pod: ${found.join(', ')}.`;
      throw new QuiesceError('DRILL_NOT_ISOLATED', text);
    }
    const text = `Nothing was reached for ${formatDuration(options.for)}.`;
    await surface.print({ isolated: true, addresses: addresses.map(textOf) }, text);
    return 0;
  },
});

interface Address {
  readonly host: string;
  readonly port: number;
}

/** Every pod is told where it is. */
function apiServer(): readonly string[] {
  const { KUBERNETES_SERVICE_HOST: host, KUBERNETES_SERVICE_PORT: port } = process.env;
  if (!host || !port) return [];
  return [`${host.includes(':') ? `[${host}]` : host}:${port}`];
}

function parsed(text: string): Address {
  const match = /^(?:\[([^\]]+)\]|([^:]+)):(\d{1,5})$/.exec(text);
  const port = Number(match?.[3]);
  if (match === null || port < 1 || port > 65_535) {
    throw usage('isolated', `an address is HOST:PORT, not ${JSON.stringify(text.slice(0, 80))}`);
  }
  return { host: match[1] ?? match[2] ?? '', port };
}

function textOf({ host, port }: Address): string {
  return `${host}:${port}`;
}

/** @returns what was reached last; empty: nothing for long enough */
async function watch(
  addresses: readonly Address[],
  forMs: number,
  withinMs: number,
): Promise<readonly string[]> {
  const begun = performance.now();
  let quietSince: number | undefined;
  for (;;) {
    const from = performance.now();
    const reached = await Promise.all(addresses.map(isReached));
    const found = addresses.filter((_, index) => reached[index]).map(textOf);
    quietSince = found.length > 0 ? undefined : (quietSince ?? from);
    const now = performance.now();
    if (quietSince !== undefined && now - quietSince >= forMs) return [];
    if (found.length > 0 && now - begun > withinMs) return found;
    await sleep(PAUSE_MS);
  }
}

/** A refusal is how some engines of network policies say no: only an open connection counts. */
async function isReached({ host, port }: Address): Promise<boolean> {
  return await new Promise((resolve) => {
    const socket = connect({ host, port });
    const end = (reached: boolean): void => {
      socket.destroy();
      resolve(reached);
    };
    socket.setTimeout(CONNECT_WITHIN_MS, () => end(false));
    socket.once('connect', () => end(true));
    socket.once('error', () => end(false));
  });
}
