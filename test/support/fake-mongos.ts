import { once } from 'node:events';
import { type AddressInfo, createServer, type Server, type Socket } from 'node:net';
import { BSON, type Document } from 'mongodb';

const OP_REPLY = 1;
const OP_QUERY = 2004;
const OP_MSG = 2013;
const HEADER_BYTES = 16;

/**
 * A fake mongos, because no package has the real one. It introduces itself in the wire protocol as a
 * mongos does, answers a ping, knows no other command, and records the names of all commands.
 */
export class FakeMongos {
  readonly asked: string[] = [];
  readonly #server: Server;
  readonly #sockets = new Set<Socket>();

  private constructor() {
    this.#server = createServer((socket) => this.#serve(socket));
  }

  static async listen(): Promise<FakeMongos> {
    const fake = new FakeMongos();
    fake.#server.listen(0, '127.0.0.1');
    await once(fake.#server, 'listening');
    return fake;
  }

  get address(): string {
    return `127.0.0.1:${(this.#server.address() as AddressInfo).port}`;
  }

  async close(): Promise<void> {
    for (const socket of this.#sockets) socket.destroy();
    this.#server.close();
    await once(this.#server, 'close');
  }

  #serve(socket: Socket): void {
    this.#sockets.add(socket);
    socket.on('error', () => socket.destroy());
    socket.on('close', () => this.#sockets.delete(socket));
    let waiting = Buffer.alloc(0);
    socket.on('data', (chunk) => {
      waiting = Buffer.concat([waiting, chunk]);
      while (waiting.length >= HEADER_BYTES && waiting.length >= waiting.readInt32LE(0)) {
        const message = waiting.subarray(0, waiting.readInt32LE(0));
        waiting = waiting.subarray(message.length);
        const [command, asQuery] = read(message);
        socket.write(reply(message.readInt32LE(4), this.#answer(command), asQuery));
      }
    });
  }

  #answer(command: Document): Document {
    const [name = ''] = Object.keys(command);
    this.asked.push(name);
    switch (name.toLowerCase()) {
      case 'hello':
      case 'ismaster':
        return {
          ok: 1,
          msg: 'isdbgrid',
          ismaster: true,
          isWritablePrimary: true,
          helloOk: true,
          minWireVersion: 0,
          maxWireVersion: 17,
          maxBsonObjectSize: 16_777_216,
          maxMessageSizeBytes: 48_000_000,
          maxWriteBatchSize: 100_000,
          localTime: new Date(),
          readOnly: false,
        };
      case 'buildinfo':
        return { ok: 1, version: '6.0.5' };
      case 'ping':
      case 'endsessions':
        return { ok: 1 };
      default:
        return { ok: 0, code: 59, codeName: 'CommandNotFound', errmsg: `no such command: ${name}` };
    }
  }
}

/** @returns the command, and whether it came as the older type of message */
function read(message: Buffer): [command: Document, asQuery: boolean] {
  const body = message.subarray(HEADER_BYTES);
  if (message.readInt32LE(12) === OP_MSG) return [BSON.deserialize(body.subarray(5)), false];
  if (message.readInt32LE(12) !== OP_QUERY) throw new Error('neither a query nor a message');
  const afterName = body.indexOf(0, 4) + 1;
  return [BSON.deserialize(body.subarray(afterName + 8)), true];
}

function reply(to: number, answer: Document, asQuery: boolean): Buffer {
  const document = Buffer.from(BSON.serialize(answer));
  const before = Buffer.alloc(asQuery ? 20 : 5);
  if (asQuery) before.writeInt32LE(1, 16);
  const header = Buffer.alloc(HEADER_BYTES);
  header.writeInt32LE(HEADER_BYTES + before.length + document.length, 0);
  header.writeInt32LE(to, 8);
  header.writeInt32LE(asQuery ? OP_REPLY : OP_MSG, 12);
  return Buffer.concat([header, before, document]);
}
