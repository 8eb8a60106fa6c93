import { readFile } from 'node:fs/promises';
import { describe, expect, it } from 'vitest';
import { metadataText } from '../../src/shim/metadata-text.ts';
import { readableSize } from '../../src/shim/metadata-values.ts';

type Body = Record<string, unknown>;

const golden = (name: string): string => `${import.meta.dirname}/../golden/metadata/${name}`;
const documentOf = async (engine: string): Promise<Body> =>
  JSON.parse(await readFile(golden(`${engine}.json`), 'utf8')) as Body;

/* The documents are what freezes of real servers wrote. */
describe.each(['postgres', 'mongodb', 'redis'])('the metadata of %s as text', (engine) => {
  it('is as a person reads it, on a terminal of 80 columns', async () => {
    const text = metadataText(await documentOf(engine), { width: 80, all: false });
    await expect(`${text}\n`).toMatchFileSnapshot(golden(`${engine}.txt`));
    const wide = text.split('\n').filter((line) => line.length > 80);
    expect(wide).toEqual([]);
  });

  it('is the same for a running server, but for the heading', async () => {
    const document = { ...(await documentOf(engine)), absent: [] };
    const [, ...copy] = metadataText(document, { width: 80, all: true }).split('\n');
    const live = metadataText((document as Body)['metadata'] as Body, { width: 80, all: true });
    expect(live.split('\n')).toEqual(copy);
  });
});

it('never prints a control character of a name', () => {
  const text = metadataText({ databases: [{ name: 'a\u001B[31m\nb' }] }, { width: 80, all: false });
  expect(text).toBe('\ndatabases (1)\n  NAME\n  a [31m b');
});

it.each([
  [0, '0 B'],
  [1_023, '1023 B'],
  [1_024, '1 KiB'],
  [1_288_490_189, '1.2 GiB'],
  [5 * 2 ** 40, '5 TiB'],
])('%i bytes are %s', (bytes, text) => {
  expect(readableSize(bytes)).toBe(text);
});
