import { once } from 'node:events';
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { text } from 'node:stream/consumers';
import type { Receipt } from '../../src/receipt/receipt.ts';
import type { FarmSidecar } from './sidecar-farm.ts';

/** What a sidecar has once answered. */
export interface Script {
  readonly status: object;
  readonly held: Receipt;
  readonly thawed: Receipt;
}

/** Lets a sidecar freeze and thaw once, and takes down its answers. */
export async function scriptOf({ port }: FarmSidecar): Promise<Script> {
  const ask = async (path: string, body?: object): Promise<unknown> => {
    const sent = await fetch(`http://127.0.0.1:${port}${path}`, {
      ...(body && {
        method: 'POST',
        headers: { 'content-type': 'application/json' },
        body: JSON.stringify(body),
      }),
    });
    if (!sent.ok) throw new Error(await sent.text());
    return await sent.json();
  };
  const status = (await ask('/v1/status')) as object;
  const held = (await ask('/v1/freeze', { id: 'script' })) as Receipt;
  return { status, held, thawed: (await ask('/v1/thaw', { id: 'script' })) as Receipt };
}

/**
 * Answers at once what a sidecar would, without a lease, a journal or a database: for benchmarks of what
 * calls sidecars. 200 real ones on the machine of their caller would take most of its time.
 */
export class ScriptedSidecar {
  readonly #script: Script;
  readonly #servers;

  constructor(script: Script) {
    this.#script = script;
    const take = (request: IncomingMessage, response: ServerResponse): void => {
      void this.#answer(request, response);
    };
    this.#servers = { tcp: createServer(take), socket: createServer(take) };
  }

  /** @returns its port */
  async listen(socket: string): Promise<number> {
    this.#servers.tcp.listen(0, '127.0.0.1');
    this.#servers.socket.listen(socket);
    await Promise.all(Object.values(this.#servers).map((one) => once(one, 'listening')));
    return (this.#servers.tcp.address() as AddressInfo).port;
  }

  async #answer(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const asked = await text(request);
    const { id } = JSON.parse(asked === '' ? '{}' : asked) as { id?: string };
    const body = JSON.stringify({ ...this.#answerTo(request.url ?? ''), ...(id && { id }) });
    response.writeHead(200, {
      'content-type': 'application/json; charset=utf-8',
      'content-length': Buffer.byteLength(body),
    });
    response.end(body);
  }

  #answerTo(path: string): object {
    const { status, held, thawed } = this.#script;
    if (path === '/v1/status') return status;
    return path === '/v1/freeze' ? held : thawed;
  }
}
