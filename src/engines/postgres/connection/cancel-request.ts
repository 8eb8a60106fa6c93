import { once } from 'node:events';
import { connect, isIP, type Socket, type SocketConnectOpts } from 'node:net';
import { connect as connectTls, type ConnectionOptions } from 'node:tls';

const LIMIT_MS = 2_000;
const CANCEL_REQUEST = 80_877_102;
const SSL_REQUEST = 80_877_103;

interface Encryption {
  readonly ssl?: ConnectionOptions;
  readonly host: string | undefined;
  readonly direct: boolean;
}

/**
 * The protocol's CancelRequest (PostgreSQL 18, section 54.2.8), encrypted where the connection is,
 * because its key can end statements of the session. Best effort: never rejects, ends within two
 * seconds, and does not keep the process alive.
 */
export async function sendCancel(
  options: SocketConnectOpts,
  encryption: Encryption,
  pid: number,
  key: number,
): Promise<void> {
  const socket = connect(options);
  socket.unref();
  socket.on('error', () => undefined);
  // With an error: after a plain destroy(), `once` would wait for ever.
  const timer = setTimeout(() => socket.destroy(new Error('no answer')), LIMIT_MS);
  timer.unref();
  try {
    await once(socket, 'connect');
    const stream = encryption.ssl ? await encrypt(socket, encryption) : socket;
    stream.on('error', () => undefined);
    const closed = once(socket, 'close');
    stream.end(int32(16, CANCEL_REQUEST, pid, key));
    stream.resume();
    // The server sends no answer. It closes the connection once it has passed the request on.
    await closed;
  } catch {
    // Best effort: the server also notices the closed connection.
  } finally {
    clearTimeout(timer);
    socket.destroy();
  }
}

async function encrypt(socket: Socket, { ssl, host, direct }: Encryption): Promise<Socket> {
  if (!direct) {
    socket.write(int32(8, SSL_REQUEST));
    const [answer] = (await once(socket, 'data')) as [Buffer];
    if (answer.toString('latin1') !== 'S') throw new Error('no TLS');
  }
  const named = host !== undefined && isIP(host) === 0 ? { servername: host } : {};
  const alpn = direct ? { ALPNProtocols: ['postgresql'] } : {};
  const secure = connectTls({ ...ssl, ...named, ...alpn, socket });
  await once(secure, 'secureConnect');
  return secure;
}

function int32(...values: readonly number[]): Buffer {
  const buffer = Buffer.alloc(values.length * 4);
  values.forEach((value, at) => buffer.writeInt32BE(value | 0, at * 4));
  return buffer;
}
