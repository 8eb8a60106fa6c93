import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { WEBHOOK_FLAGS } from '../src/cluster/webhook/options.ts';
import { INJECT_FLAGS } from '../src/cluster/inject/flags.ts';
import { baseSchema } from '../src/config/schema.ts';
import { parseOptions } from '../src/demo/options.ts';
import { QuiesceError, catalogue } from '../src/errors.ts';
import { parseDuration } from '../src/lib/duration.ts';
import { receiptSchema } from '../src/receipt/receipt.ts';
import { parseArguments } from '../src/shim/args.ts';
import { overview } from '../src/shim/help.ts';
import { VERBS, helpOf, ran } from './support/docs/facts.ts';
import { code, documents, falseIn, page, read, root } from './support/docs/repository.ts';
import { blocksOf, defaultsOfHelp, spansOf, wideLines } from './support/docs/statements.ts';

describe('help texts say what the code does', () => {
  test('defaults of the sidecar', async () => {
    const said = defaultsOfHelp(await helpOf('sidecar'));
    const real = baseSchema(['postgres']).parse({ QUIESCE_ENGINE: 'postgres' }) as Record<
      string,
      unknown
    >;
    const shown = Object.entries(real).filter(([name]) => name !== 'QUIESCE_ENGINE');
    const shape = (value: unknown): unknown =>
      typeof value === 'object' && value !== null && 'port' in value
        ? Object.values(value).join(':')
        : value;
    const matches = (name: string, value: unknown): boolean => {
      const text = said.get(name);
      return text !== undefined && (text === shape(value) || parseDuration(text) === value);
    };
    expect(matches('QUIESCE_FREEZE_TIMEOUT', 26_000)).toBe(false);
    expect(shown.length).toBeGreaterThan(7);
    expect(shown.filter(([name, value]) => !matches(name, value))).toEqual([]);
  });

  test.each([['webhook', WEBHOOK_FLAGS] as const, ['inject', INJECT_FLAGS] as const])(
    'defaults of %s',
    async (verb, flags) => {
      const said = defaultsOfHelp(await helpOf(verb));
      const wrong = Object.entries(flags).filter(
        ([name, { fallback }]: [string, { fallback?: string }]) =>
          fallback !== undefined && said.get(name) !== fallback,
      );
      expect(wrong).toEqual([]);
      expect(said.get('hook-timeout')).toBe('30s');
    },
  );

  test('defaults and bounds of the demo', async () => {
    const help = await helpOf('demo');
    const { engine, postgres, seconds } = parseOptions([]);
    expect(help).toContain(`(${engine})`);
    expect(help).toContain(`(${postgres})`);
    const [, least = '', most = ''] = /(\d+) to (\d+);/.exec(help) ?? [];
    expect(defaultsOfHelp(help).get('seconds')).toBe(String(seconds));
    for (const value of [least, most])
      expect(parseOptions(['--seconds', value]).seconds).toBe(Number(value));
    for (const value of [Number(least) - 0.5, Number(most) + 1]) {
      expect(() => parseOptions(['--seconds', String(value)])).toThrow(QuiesceError);
    }
  });

  test('from which finding on the doctor fails', async () => {
    const said = defaultsOfHelp(await helpOf('doctor')).get('fail-on') ?? '';
    const warns = ['-f', join(root, 'test/cluster/doctor/fixtures/broken/SIDECAR_OUTDATED.yaml')];
    const exits = async (...more: string[]): Promise<number | undefined> =>
      (await ran('doctor', [...warns, ...more])).exit;
    expect(await exits()).toBe(7);
    expect(await exits('--fail-on', said)).toBe(7);
    expect(await exits('--fail-on', 'error')).toBe(0);
  });

  test('bounds of ids, and exit codes', async () => {
    const [, most = ''] = /1–(\d+) of A-Za-z0-9/.exec(await helpOf('freeze')) ?? [];
    const id = 'x'.repeat(Number(most));
    expect(parseArguments('freeze', ['--id', id]).id).toBe(id);
    expect(() => parseArguments('freeze', ['--id', `${id}x`])).toThrow(QuiesceError);
    const [, list = ''] = /Exit codes: ([^]*)$/.exec(overview([])) ?? [];
    const said = [...list.matchAll(/(?<![\w.])(\d) [a-z]/g)].map(([, exit]) => Number(exit));
    const real = new Set(Object.values(catalogue).map(({ exit }) => exit));
    expect([...real].filter((exit) => !said.includes(exit))).toEqual([]);
  });

  test('the control socket, and how long the deep check may take', async () => {
    const { QUIESCE_SOCKET: socket } = baseSchema(['redis']).parse({ QUIESCE_ENGINE: 'redis' });
    expect(overview([])).toContain(`(default ${socket})`);
    const [, said] = /-timeout (\d+m)\]/.exec(await helpOf('verify')) ?? [];
    const [, real] = /ends the deep check; default (\w+)/.exec(read('docs/openapi.json')) ?? [];
    expect(real).toBeDefined();
    expect(said).toBe(real);
  });

  test('the page of commands has every verb', () => {
    const sections = [...read('docs/commands.md').matchAll(/^## (\S+)$/gm)].map(([, verb]) => verb);
    expect(new Set(sections)).toEqual(new Set(VERBS));
  });
});

test('the sample of a receipt is one, and its page explains every field', () => {
  const text = read('docs/receipt.md');
  const [block = ''] = blocksOf(text).filter((one) => one.startsWith('{'));
  const sample = receiptSchema.strict().safeParse(JSON.parse(block));
  expect(sample.error).toBeUndefined();
  const table = text.slice(text.indexOf('## The fields'));
  const rows = [...table.matchAll(/^\| ((?:`\w+`(?:, )?)+) \|/gm)].flatMap(([, names = '']) =>
    spansOf(names),
  );
  expect(rows.sort()).toEqual(Object.keys(receiptSchema.shape).sort());
});

test('the glossary knows every mode, copy method and verdict, and pages name no other reason', async () => {
  const sources = code().filter(({ name }) => name.startsWith('src/'));
  const modes = sources
    .filter(({ name }) => /^src\/engines\/\w+\/freeze\//.test(name))
    .flatMap(({ text }) => [...text.matchAll(/\bmode: (?:[^\n]*\? )?'([a-z-]+)'/g)])
    .map(([, mode]) => mode);
  const glossary = new Set(spansOf(read('docs/glossary.md')));
  expect(new Set(modes).size).toBeGreaterThan(5);
  const { copy, verdict } = receiptSchema.shape;
  const words = [...new Set(modes), ...copy.options, ...verdict.options];
  expect(words.filter((word) => word !== undefined && !glossary.has(word))).toEqual([]);
  const said = sources.map(({ text }) => text).join('\n');
  const exists = (reason: string): boolean => said.includes(`'${reason}'`);
  const table = read('docs/debugging.md');
  const reasons = (text: string): string[] =>
    [...text.matchAll(/^\| ((?:`[a-z-]+`(?:, )?)+) \|/gm)].flatMap(([, names = '']) =>
      spansOf(names),
    );
  expect(reasons(table).length).toBeGreaterThan(30);
  expect(await falseIn([page('| `lease-vanished` | x |')], reasons, exists)).toHaveLength(1);
  expect(await falseIn([{ name: 'docs/debugging.md', text: table }], reasons, exists)).toEqual([]);
});

test('a thing has the one word that the glossary gives it', async () => {
  // `open` is a mode of PostgreSQL; a freeze that has not ended is under way, or held.
  const avoided = (text: string): string[] =>
    [
      ...text.matchAll(/\b(?:open freeze|unfreez\w+|crash consistent|copy mode|backup mode)\b/gi),
    ].map(([word]) => word);
  // What fsfreeze calls it.
  const pages = documents().filter(({ name }) => !name.startsWith('docs/migration'));
  expect(await falseIn([page('an open freeze')], avoided, () => false)).toHaveLength(1);
  expect(await falseIn(pages, avoided, () => false)).toEqual([]);
});

test('prose fits a terminal of 100 columns', async () => {
  const written = documents()
    .filter(({ name }) => /^(?:README|docs\/.*|charts\/.*)\.md$/.test(name))
    .filter(({ text }) => !/^<!-- Generated/m.test(text));
  const wide = (text: string): string[] => wideLines(text, 100);
  expect(wide(`${'word '.repeat(21)}\n| ${'cell '.repeat(30)} |\n`)).toHaveLength(1);
  expect(await falseIn(written, wide, () => false)).toEqual([]);
});
