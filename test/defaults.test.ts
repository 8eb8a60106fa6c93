import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, it } from 'vitest';
import { COMMANDS } from '../src/commands/index.ts';
import { baseSchema } from '../src/config/schema.ts';
import * as defaults from '../src/defaults.ts';
import { parseDuration, writeDuration } from '../src/lib/duration.ts';
import { SHIM_VERBS } from '../src/shim/args.ts';

const root = join(import.meta.dirname, '..');
const read = (name: string): string => readFileSync(join(root, name), 'utf8');

/** A default's text, where a second copy of it would be another truth. */
const ONCE: readonly RegExp[] = [
  /\/run\/quiesce/,
  /\/var\/lib\/quiesce/,
  /\b(?:8095|9095)\b/,
  /\b24 \* 3_600_000\b/,
  /\b5 \* 60_000\b/,
  /A-Za-z0-9\._:-\]\{1,128\}/,
  /such as 500ms/,
  /'must be longer than zero'/,
];

/** Lines of code, without comments, that a pattern fits. */
function repeated(pattern: RegExp, sources: ReadonlyMap<string, string>): string[] {
  return [...sources]
    .filter(([name]) => name !== 'src/defaults.ts')
    .filter(([, text]) =>
      text.split('\n').some((line) => !/^\s*(?:\*|\/\/|\/\*)/.test(line) && pattern.test(line)),
    )
    .map(([name]) => name);
}

it('stand once in the code', () => {
  const names = readdirSync(join(root, 'src'), { recursive: true, encoding: 'utf8' });
  const files = names.filter((name) => name.endsWith('.ts')).map((name) => join('src', name));
  const sources = new Map(files.map((name) => [name, read(name)]));
  for (const pattern of ONCE) {
    expect(sources.get('src/defaults.ts'), String(pattern)).toMatch(pattern);
    expect(repeated(pattern, sources), String(pattern)).toEqual([]);
  }
  const planted = new Map([['src/x.ts', "const PATH = '/run/quiesce/control.sock';"]]);
  expect(repeated(/\/run\/quiesce/, planted)).toEqual(['src/x.ts']);
});

it('are what the help of the sidecar says of each setting', () => {
  const help = read('docs/commands.md');
  for (const [name, field] of Object.entries(baseSchema(['postgres']).shape)) {
    const parsed = field.safeParse(undefined);
    const line = new RegExp(`^  ${name} +.+$`, 'm').exec(help)?.[0];
    expect(line, name).toBeDefined();
    if (!parsed.success || parsed.data === undefined) continue;
    const value: unknown = parsed.data;
    const told =
      typeof value === 'number'
        ? writeDuration(value)
        : typeof value === 'object' && value !== null && 'port' in value
          ? String(value.port)
          : String(value);
    expect(line, name).toContain(told);
  }
});

it('are written as they are read', () => {
  for (const ms of [1, 1_500, 25_000, 60_000, defaults.TTL_MAX_MS, defaults.LONGEST_MS]) {
    expect(parseDuration(writeDuration(ms))).toBe(ms);
  }
});

it('leave no verb out of the page of commands', () => {
  const verbs = [...read('docs/commands.md').matchAll(/^## (.+)$/gm)].map(([, verb]) => verb);
  expect(verbs).toEqual([...SHIM_VERBS, ...Object.keys(COMMANDS)]);
});
