import { once } from 'node:events';
import type { NetConnectOpts } from 'node:net';
import { connect } from 'node:net';

export interface RawAnswer {
  readonly status: number;
  readonly head: string;
  // oxlint-disable-next-line typescript/no-explicit-any -- tests look into answers of any shape
  readonly body: any;
}

/** Writes bytes as they are and reads until the server closes. */
export async function raw(to: NetConnectOpts, text: string | Buffer): Promise<RawAnswer> {
  const socket = connect(to);
  const chunks: Buffer[] = [];
  socket.on('data', (chunk: Buffer) => chunks.push(chunk));
  socket.on('error', () => undefined);
  socket.write(text);
  await once(socket, 'close');
  const [head = '', body = ''] = Buffer.concat(chunks)
    .toString('utf8')
    .split(/\r\n\r\n(.*)/s);
  return {
    status: Number(/^HTTP\/1\.1 (\d{3})/.exec(head)?.[1] ?? 0),
    head,
    body: body.startsWith('{') ? JSON.parse(body) : body,
  };
}
