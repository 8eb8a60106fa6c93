import { readdir } from 'node:fs/promises';
import { connect, type NetConnectOpts, type Socket } from 'node:net';

/** What a client may have sent on a connection that it holds open. */
export const HELD_OPEN = {
  nothing: '',
  'half a header': 'GET /v1/status HTTP/1.1\r\nHost: localhost\r\nX-Slow: 1',
  'headers of 8 kB': `GET /metrics HTTP/1.1\r\nHost: localhost\r\n${'X-A: aaaaaaaaaaaaaaaaaaaaaaaaaa\r\n'.repeat(90)}`,
  'half a body':
    'POST /v1/freeze HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: 100\r\n\r\n{',
  'a request that was answered': 'GET /nowhere HTTP/1.1\r\nHost: localhost\r\n\r\n',
} as const;

/** Many connections that are opened and held open. */
export class Crowd {
  readonly #sockets: Socket[] = [];
  /** How many of them the server has closed. */
  closed = 0;

  static async of(to: NetConnectOpts, count: number, say = ''): Promise<Crowd> {
    const crowd = new Crowd();
    for (let at = 0; at < count; at += 100) {
      const some = Math.min(100, count - at);
      await Promise.all(Array.from({ length: some }, () => crowd.#join(to, say)));
    }
    return crowd;
  }

  leave(): void {
    for (const socket of this.#sockets) socket.destroy();
  }

  #join(to: NetConnectOpts, say: string): Promise<void> {
    const socket = connect(to);
    this.#sockets.push(socket);
    socket.on('error', () => undefined);
    socket.once('close', () => (this.closed += 1));
    socket.resume();
    return new Promise((resolve) => {
      socket.once('close', resolve);
      socket.once('connect', () => {
        if (say !== '') socket.write(say);
        resolve();
      });
    });
  }
}

/** The number of files and connections that a process has open. */
export async function openFiles(pid: number | undefined): Promise<number> {
  return (await readdir(`/proc/${pid}/fd`)).length;
}
