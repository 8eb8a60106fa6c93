import { readdirSync, readFileSync } from 'node:fs';
import { join, relative, sep } from 'node:path';
import { Writable } from 'node:stream';
import ts from 'typescript';
import { describe, expect, it } from 'vitest';
import { ENGINE_NAMES, entryOf } from '../../src/engines/names.ts';
import { profileOf } from '../../src/engines/profiles.ts';
import { createLogger } from '../../src/logger.ts';

const ROOT = join(import.meta.dirname, '../..');
const SRC = join(ROOT, 'src');

/** Sources that may contain an engine's name, and why a new engine needs no change there. */
const ALLOWED: readonly { readonly path: RegExp; readonly why: string }[] = [
  { path: /^src\/engines\/names\.ts$/, why: 'the table' },
  {
    path: /^src\/engines\/(?:index|profiles)\.ts$/,
    why: 'how to load each engine; the type requires an entry for every name in the table',
  },
  {
    path: /^src\/(?:testbed|demo)\/|demo-servers\.ts$/,
    why: 'servers for demos and tests, not in the image',
  },
  { path: /^src\/commands\/(?:demo|index)\.ts$/, why: 'the help of the demo' },
  { path: /^src\/cluster\/doctor\/rules\/(?:sidecar|probe)\.ts$/, why: 'advice, with examples' },
  {
    path: /^src\/cluster\/plan\/(?:(?:known-images|stages)\.ts|resources\/|kept\/(?:memory|redis)\.ts)/,
    why: 'what images and operators of others are called, and what their servers persist: with or without an engine',
  },
  {
    path: /^src\/cluster\/health\/phases\.ts$/,
    why: 'what operators of others say of their state',
  },
];

/** Finds literals in a source that name an engine or its settings. Comments may name them. */
function namings(source: string): string[] {
  // The common prefix of an engine's settings: `PG`, `REDIS_`.
  const prefixes = ENGINE_NAMES.map((name) => entryOf(name).settings.replace(/\[.*$/, ''));
  const word = new RegExp(`\\b(?:(?:${ENGINE_NAMES.join('|')})\\b|${prefixes.join('|')})`);
  const found: string[] = [];
  const file = ts.createSourceFile('x.ts', source, ts.ScriptTarget.Latest, true);
  const visit = (node: ts.Node): void => {
    const literal =
      ts.isStringLiteralLike(node) ||
      ts.isTemplateHead(node) ||
      ts.isTemplateMiddleOrTemplateTail(node) ||
      ts.isRegularExpressionLiteral(node) ||
      ts.isIdentifier(node);
    const imported = ts.isImportDeclaration(node.parent) || ts.isExportDeclaration(node.parent);
    if (literal && !imported && word.test(node.text)) found.push(node.text);
    ts.forEachChild(node, visit);
  };
  ts.forEachChild(file, visit);
  return found;
}

function sources(): string[] {
  return readdirSync(SRC, { recursive: true, encoding: 'utf8' })
    .filter((name) => name.endsWith('.ts'))
    .map((name) => relative(ROOT, join(SRC, name)).split(sep).join('/'));
}

function ofAnEngine(path: string): boolean {
  return ENGINE_NAMES.some((name) => path.startsWith(`src/engines/${name}/`));
}

describe('a new engine', () => {
  it('changes only its own folder and the table of engines', () => {
    const places = sources()
      .filter((path) => !ofAnEngine(path) && !ALLOWED.some((one) => one.path.test(path)))
      .flatMap((path) =>
        namings(readFileSync(join(ROOT, path), 'utf8')).map((text) => `${path}: ${text}`),
      );
    expect(places).toEqual([]);
  });

  it.each(ENGINE_NAMES)('%s has a conformance subject in smoke, its pages and its role', (name) => {
    const under = (folder: string): string[] => readdirSync(join(ROOT, folder));
    const smoke = under('test/conformance').filter((file) => file.endsWith('.server.test.ts'));
    const imports = smoke.map((file) => readFileSync(join(ROOT, 'test/conformance', file), 'utf8'));
    expect(imports.filter((text) => text.includes(`'./${name}.ts'`))).not.toEqual([]);
    expect(under('docs/engines')).toEqual(
      expect.arrayContaining([`${name}.md`, `${name}-facts.md`]),
    );
    expect(under('roles').filter((file) => file.startsWith(`${name}.`))).toHaveLength(1);
  });

  it.each([
    ["const kinds = ['a', 'redis'];", 'redis'],
    ['const OURS = /^(?:QUIESCE_|PG|REDIS_)/;', '/^(?:QUIESCE_|PG|REDIS_)/'],
    ['const name = `${prefix} PGPASSWORD ${more}`;', ' PGPASSWORD '],
    ['const ports = { postgres: 5432 };', 'postgres'],
  ])('is detected if another source names it: %s', (source, text) => {
    expect(namings(`// redis may be named here\n${source}`)).toContain(text);
  });

  it('has no unused exception', () => {
    for (const { path, why } of ALLOWED) {
      const used = sources().filter((one) => path.test(one));
      const named = used.some((one) => namings(readFileSync(join(ROOT, one), 'utf8')).length > 0);
      expect([path.source, why, named]).toEqual([path.source, why, true]);
    }
  });
});

describe.each(ENGINE_NAMES)('the entry of %s', (name) => {
  const entry = entryOf(name);
  const settings = new RegExp(`^(?:${entry.settings})$`);

  it('matches its own settings and no others', () => {
    const { username, password, others, url, socket } = entry.login;
    const named = [username, password, ...others, url, socket, ...entry.secrets];
    for (const one of named.filter((one) => one !== undefined)) expect(one).toMatch(settings);
    const rest = ENGINE_NAMES.filter((other) => other !== name).map((other) => entryOf(other));
    for (const other of rest) {
      for (const one of other.secrets) expect(one).not.toMatch(settings);
    }
  });

  it('removes every credential of its login from the log', () => {
    const { password, url } = entry.login;
    for (const one of [password, ...(url === undefined ? [] : [url]), ...entry.secrets]) {
      expect(logged({ [one]: 'hunter2' })).not.toContain('hunter2');
      expect(logged({ settings: { [one]: 'hunter2' } })).not.toContain('hunter2');
    }
  });

  it('has a profile of its images', () => {
    expect(profileOf(name).name).toBe(name);
    expect(profileOf(name).places.length).toBeGreaterThan(0);
  });
});

function logged(fields: object): string {
  let text = '';
  const destination = new Writable({
    write: (chunk, _encoding, done) => {
      text += String(chunk);
      done();
    },
  });
  createLogger({ level: 'info', destination }).info(fields, 'a line');
  expect(text).toContain('a line');
  return text;
}
