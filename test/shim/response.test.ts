import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { CutShort, Garbled, ResponseReader } from '../../src/shim/response.ts';

/** Feeds the text in pieces that end at `cuts`, then the end of the connection. */
function read(text: string | Buffer, cuts: readonly number[] = []) {
  const bytes = Buffer.from(text);
  const reader = new ResponseReader();
  const ends = [...new Set([...cuts.map((cut) => cut % (bytes.length + 1)), bytes.length])];
  let from = 0;
  for (const to of ends.toSorted((a, b) => a - b)) {
    const response = reader.push(bytes.subarray(from, to));
    from = to;
    if (response && from === bytes.length) return response;
    if (response) throw new Error('complete before its end');
  }
  return reader.end();
}

const OK = 'HTTP/1.1 200 OK\r\n';
const BODY = '{"name":"Größe 🧊"}';
const LENGTH = Buffer.byteLength(BODY);
const HALF = Buffer.from(BODY).subarray(0, 12);
const REST = Buffer.from(BODY).subarray(12);
const WHOLE = {
  counted: Buffer.from(`${OK}Content-Length: ${LENGTH}\r\nX: y\r\n\r\n${BODY}`),
  chunked: Buffer.concat([
    Buffer.from(`${OK}Transfer-Encoding: Chunked\r\n\r\n${HALF.length.toString(16)};ext="1"\r\n`),
    HALF,
    Buffer.from(`\r\n000${REST.length.toString(16).toUpperCase()}\r\n`),
    REST,
    Buffer.from('\r\n0\r\ntrailer: t\r\n\r\n'),
  ]),
  'after signs of life': Buffer.from(
    `HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 102 Processing\r\na: b\r\n\r\n${OK}content-length: ${LENGTH}\r\n\r\n${BODY}`,
  ),
};

describe('an answer', () => {
  it.each(Object.entries(WHOLE))('%s is read the same wherever it is cut', (_name, bytes) => {
    expect(read(bytes, [...bytes.keys()])).toEqual({ status: 200, text: BODY });
    fc.assert(
      fc.property(fc.array(fc.nat(bytes.length)), (cuts) => {
        expect(read(bytes, cuts)).toEqual({ status: 200, text: BODY });
      }),
    );
  });

  it.each(Object.entries(WHOLE))('%s is not complete before its last byte', (_name, bytes) => {
    for (let cut = 0; cut < bytes.length; cut += 1) {
      expect(() => read(bytes.subarray(0, cut))).toThrow(CutShort);
    }
  });

  it('without a length ends with the connection', () => {
    expect(read(`${OK}\r\n${BODY}`, [20, 30])).toEqual({ status: 200, text: BODY });
  });

  it('may have no body', () => {
    expect(read('HTTP/1.1 204 No Content\r\n\r\n')).toEqual({ status: 204, text: '' });
    expect(read(`${OK}content-length: 0\r\n\r\n`)).toEqual({ status: 200, text: '' });
    expect(read('HTTP/1.1 503 \r\ncontent-length: 2\r\n\r\n{}').status).toBe(503);
  });

  it('with a body of millions of small chunks is read without delay', () => {
    const reader = new ResponseReader();
    reader.push(Buffer.from(`${OK}transfer-encoding: chunked\r\n\r\n`));
    for (let i = 0; i < 200_000; i += 1) reader.push(Buffer.from('1\r\nx\r\n'));
    expect(reader.push(Buffer.from('0\r\n\r\n'))?.text).toHaveLength(200_000);
  });
});

const counted = (length: string): string => `${OK}content-length: ${length}\r\n\r\n`;
const chunked = `${OK}transfer-encoding: chunked\r\n\r\n`;

describe('is refused:', () => {
  it.each([
    ['what is no HTTP', 'SSH-2.0-OpenSSH_9.2\r\n'],
    ['another version', 'HTTP/2 200 OK\r\n'],
    ['a status of four digits', 'HTTP/1.1 2000 OK\r\n'],
    ['a status beyond 599', 'HTTP/1.1 600 ?\r\n'],
    ['a change of protocol', 'HTTP/1.1 101 Switching Protocols\r\n'],
    ['bare line feeds', 'HTTP/1.1 200 OK\nx: y\r\n'],
    ['a field without a name', `${OK}: x\r\n`],
    ['a field without a colon', `${OK}nonsense\r\n`],
    ['a space before the colon', `${OK}content-length : 2\r\n`],
    ['a field on two lines', `${OK}x: a\r\n b\r\n`],
    ['a control character', `${OK}x: a\u0000b\r\n`],
    ['a negative length', counted('-1')],
    ['a length in hexadecimal', counted('0x10')],
    ['a length twice', `${OK}content-length: 2\r\ncontent-length: 3\r\n\r\n`],
    ['an empty length', counted('')],
    ['a body over 64 MiB', counted(String(64 * 2 ** 20 + 1))],
    ['a length and chunks', `${OK}content-length: 2\r\ntransfer-encoding: chunked\r\n\r\n`],
    ['another coding', `${OK}transfer-encoding: gzip, chunked\r\n\r\n`],
    ['a chunk without a size', `${chunked}\r\n`],
    ['a chunk of a negative size', `${chunked}-2\r\n`],
    ['a chunk of a huge size', `${chunked}FFFFFFFF\r\n`],
    ['a size that fits no number', `${chunked}${'F'.repeat(40)}\r\n`],
    ['a chunk longer than its size', `${chunked}2\r\nabc\r\n`],
    ['a malformed trailer', `${chunked}0\r\nnonsense\r\n\r\n`],
    ['bytes after the answer', `${counted('2')}{}!`],
    ['a second answer', `${counted('2')}{}${counted('2')}{}`],
    ['a status line without end', `HTTP/1.1 200 ${'x'.repeat(70_000)}`],
    ['a field without end', `${OK}x: ${'x'.repeat(70_000)}`],
    ['too many fields', `${OK}${'x: y\r\n'.repeat(20_000)}\r\n`],
    ['a chunk size without end', `${chunked}1;${'x'.repeat(70_000)}`],
    ['trailers without end', `${chunked}0\r\n${'x: y\r\n'.repeat(20_000)}`],
  ])('%s', (_what, text) => {
    expect(() => read(text)).toThrow(Garbled);
  });

  it('chunks that together exceed 64 MiB', () => {
    const reader = new ResponseReader();
    reader.push(Buffer.from(chunked));
    const piece = Buffer.concat([
      Buffer.from('100000\r\n'),
      Buffer.alloc(2 ** 20),
      Buffer.from('\r\n'),
    ]);
    for (let mb = 0; mb < 64; mb += 1) reader.push(piece);
    expect(() => reader.push(Buffer.from('1\r\n'))).toThrow(Garbled);
  });

  it('a body without a length that exceeds 64 MiB', () => {
    const reader = new ResponseReader();
    reader.push(Buffer.from(`${OK}\r\n`));
    for (let mb = 0; mb < 64; mb += 1) reader.push(Buffer.alloc(2 ** 20));
    expect(() => reader.push(Buffer.alloc(1))).toThrow(Garbled);
  });
});
