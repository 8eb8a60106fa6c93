import { afterEach, describe, expect, it, vi } from 'vitest';
import { parse } from 'yaml';
import { verb } from '../../src/commands/verb.ts';
import { QuiesceError } from '../../src/errors.ts';
import { text } from '../../src/lib/command-line/flags.ts';

afterEach(() => vi.restoreAllMocks());

/** A verb that prints its flag, or fails in the way that the flag asks for. */
const run = verb({
  name: 'try',
  usage: ['--what WORD'],
  about: 'Tries.',
  flags: { what: text('WORD', 'what to do', { required: true }) },
  formats: ['text', 'json', 'yaml'],
  notes: 'A note.',
  exits: { 0: 'done', 7: 'not done' },
  work: async ({ what }, surface) => {
    if (what === 'refuse') throw new QuiesceError('NOT_FROZEN', 'Nothing is frozen.');
    if (what === 'break') throw new TypeError('a surprise');
    surface.say('beside');
    await surface.print({ what }, () => `did ${what}`);
    return 7;
  },
});

async function captured(...args: string[]) {
  let [out, err] = ['', ''];
  vi.spyOn(process.stdout, 'write').mockImplementation((part: unknown, done?: unknown) => {
    out += String(part);
    if (typeof done === 'function') done();
    return true;
  });
  vi.spyOn(process.stderr, 'write').mockImplementation((part) => ((err += String(part)), true));
  try {
    return { code: await run(args), out, err };
  } finally {
    vi.restoreAllMocks();
  }
}

describe('a verb', () => {
  it('prints its result on stdout and the rest on stderr, in the format asked for', async () => {
    expect(await captured('--what', 'it')).toEqual({ code: 7, out: 'did it\n', err: 'beside\n' });
    const json = await captured('--what', 'it', '-o', 'json');
    expect(JSON.parse(json.out)).toEqual({ what: 'it' });
    const yaml = await captured('--what', 'it', '-o', 'yaml');
    expect(yaml.out).toBe('what: it\n');
  });

  it('reports an error in one line, or as a document, and exits with its code', async () => {
    const plain = await captured('--what', 'refuse');
    expect([plain.code, plain.out]).toEqual([7, '']);
    expect(plain.err).toMatch(/^quiesce: NOT_FROZEN: Nothing is frozen\. Hint: .+\n$/);
    for (const [format, read] of [
      ['json', (text: string): unknown => JSON.parse(text)],
      ['yaml', (text: string): unknown => parse(text)],
    ] as const) {
      const { code, out, err } = await captured('--what', 'refuse', '-o', format);
      expect([code, err]).toEqual([7, '']);
      expect(read(out)).toMatchObject({ error: { code: 'NOT_FROZEN', hint: expect.any(String) } });
    }
    const usage = await captured('--wat', 'it', '-o', 'json');
    expect(usage.code).toBe(2);
    expect(JSON.parse(usage.out)).toMatchObject({
      error: { code: 'USAGE', field: '--wat', hint: expect.stringContaining('--what') },
    });
  });

  it('prints the stack of an unexpected error, on stderr only', async () => {
    const plain = await captured('--what', 'break');
    expect([plain.code, plain.out]).toEqual([1, '']);
    expect(plain.err).toMatch(/^quiesce: INTERNAL: .+ Hint: .+\nTypeError: a surprise\n {4}at /);
    const json = await captured('--what', 'break', '-o', 'json');
    expect(JSON.parse(json.out)).toMatchObject({ error: { code: 'INTERNAL' } });
    expect(json.err).toMatch(/^TypeError: a surprise\n {4}at /);
  });

  it('prints its help for --help, whatever the other arguments are', async () => {
    const { code, out, err } = await captured('--nope', '--help');
    expect([code, err]).toEqual([0, '']);
    expect(out).toMatch(/^Usage: quiesce try --what WORD\n\nTries\.\n\n {2}--what WORD /);
    expect(out).toMatch(/-o, --output text\|json\|yaml/);
    expect(out).toMatch(/\n\nA note\.\n\nExit codes: 0 done; 7 not done\.\n$/);
  });
});
