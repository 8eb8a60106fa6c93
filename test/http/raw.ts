import { once } from 'node:events';
import type { NetConnectOpts } from 'node:net';
import { connect } from 'node:net';

export interface RawAnswer {
  readonly status: number;
  readonly head: string;
  // oxlint-disable-next-line typescript/no-explicit-any -- tests read answers of any shape
  readonly body: any;
}

/** Writes the bytes unchanged, and reads until the server closes the connection. */
export async function raw(to: NetConnectOpts, text: string | Buffer): Promise<RawAnswer> {
  const [answer] = await rawAll(to, text);
  return answer ?? { status: 0, head: '', body: '' };
}

/** As `raw`, for several pipelined requests. */
export async function rawAll(to: NetConnectOpts, text: string | Buffer): Promise<RawAnswer[]> {
  const socket = connect(to);
  const chunks: Buffer[] = [];
  socket.on('data', (chunk: Buffer) => chunks.push(chunk));
  socket.on('error', () => undefined);
  socket.write(text);
  await once(socket, 'close');
  const received = Buffer.concat(chunks).toString('utf8');
  return received.split(/(?=HTTP\/1\.1 \d{3} )/).map((answer) => {
    const [head = '', body = ''] = answer.split(/\r\n\r\n(.*)/s);
    return {
      status: Number(/^HTTP\/1\.1 (\d{3})/.exec(head)?.[1] ?? 0),
      head,
      body: body.startsWith('{') ? JSON.parse(body) : body,
    };
  });
}
