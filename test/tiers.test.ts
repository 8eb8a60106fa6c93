import { execFile } from 'node:child_process';
import { existsSync } from 'node:fs';
import { readdir, readFile } from 'node:fs/promises';
import { basename, dirname, join, relative, resolve } from 'node:path';
import { promisify } from 'node:util';
import { describe, expect, it } from 'vitest';
import { COPY_METHODS } from '../src/receipt/receipt.ts';
import { LONGEST } from './support/longest-first.ts';
import { tierOf } from './tiers.ts';

const root = resolve(import.meta.dirname, '..');
const VITEST = join(root, 'node_modules/vitest/vitest.mjs');

interface Listed {
  readonly name: string;
  readonly file: string;
  readonly projectName: string;
}

/** What the runner itself would run. */
async function list(...args: string[]): Promise<Listed[]> {
  const command = [VITEST, 'list', ...args, '--json'];
  const options = { cwd: root, maxBuffer: 64 * 1024 * 1024 };
  const { stdout } = await promisify(execFile)(process.execPath, command, options);
  return JSON.parse(stdout) as Listed[];
}

const inTest = async (): Promise<string[]> =>
  (await readdir(join(root, 'test'), { recursive: true })).map((name) => join('test', name));

/** Starts a real server, a sidecar or a volume, or what needs root. */
const REAL =
  /^src\/testbed\/(postgres\/server|redis\/server|volume\/.*)\.ts$|^test\/support\/(mongod|redis|postgres|sidecar|pgbouncer|block-volume|hanging-volume|kubernetes|helm|packages|schemathesis|webhook|standby|volumes|rig|server-rig)\.ts$/;

/** What a test file imports, and what its helpers do; types are no part of it. */
async function importsOf(file: string, seen = new Set<string>()): Promise<Set<string>> {
  const text = await readFile(join(root, file), 'utf8');
  const statements = text.matchAll(/^(?:import|export)\s(?!type\s)[^;]*?'(\.{1,2}\/[^']+)'/gm);
  for (const [, path = ''] of statements) {
    const imported = relative(root, resolve(root, dirname(file), path));
    if (seen.has(imported)) continue;
    seen.add(imported);
    if (imported.startsWith('test/') && existsSync(join(root, imported))) {
      await importsOf(imported, seen);
    }
  }
  return seen;
}

describe('a test file', () => {
  it('is of exactly one tier, the one its name says', async () => {
    const config = ['--config', 'vitest.kubernetes.config.ts'];
    const listed = [await list('--filesOnly'), await list('--filesOnly', ...config)].flat();
    const ran = listed.map(({ file, projectName }) => `${relative(root, file)} is ${projectName}`);
    const files = (await inTest()).filter((name) => /[.](test|spec)[.][cm]?[jt]sx?$/.test(name));
    expect(ran.toSorted()).toEqual(files.map((file) => `${file} is ${tierOf(file)}`).toSorted());
  }, 60_000);

  it('has no ending that is almost a tier’s', async () => {
    const fast = (await inTest()).filter(
      (name) => name.endsWith('.test.ts') && tierOf(name) === 'fast',
    );
    expect(fast.filter((file) => /[.].*[.]test[.]ts$/.test(basename(file)))).toEqual([]);
  });

  it('that is fast starts no real server', async () => {
    const files = (await inTest()).filter((name) => name.endsWith('.test.ts'));
    const reached = async (file: string): Promise<string[]> =>
      [...(await importsOf(file))].filter((path) => REAL.test(path));
    for (const file of files.filter((name) => tierOf(name) === 'fast')) {
      expect(await reached(file), file).toEqual([]);
    }
    expect(await reached('test/conformance/postgres-holds.server.test.ts')).not.toEqual([]);
  });

  it('that is begun first is there', () => {
    const missing = LONGEST.filter((name) => !existsSync(join(root, 'test', `${name}.test.ts`)));
    expect(missing).toEqual([]);
  });
});

/** The same promise has the copy method in its name, and after a colon what it comes to for a server. */
const promiseOf = (name: string): string =>
  name.replace(/ ?\(?\bcopy: \w+\)?/, '').replace(/: .*/, '');

/** What only some servers can keep or break, with the reason. Each has one in full. */
const OF_SOME: Record<string, string> = {
  'a copy method that cannot keep its promise is refused, and nothing is held':
    'an engine that takes every copy method refuses none',
  'removed or changed on a further volume': 'a mark on a tablespace is left by an open freeze only',
};
const isOfSome = (promise: string): boolean =>
  Object.keys(OF_SOME).some((name) => promise.endsWith(name));

describe('the conformance suite', async () => {
  const tests = (await list('test/conformance', '--project', 'smoke', '--project', 'full'))
    .filter(({ file }) => !file.includes('block-volume'))
    .map(({ name, projectName }) => {
      const [subject = '', ...promise] = name.split(' > ');
      return { subject, promise: promise.join(' > '), smoke: projectName === 'smoke' };
    });
  const smoke = tests.filter((test) => test.smoke);
  const subjects = [...new Set(tests.map(({ subject }) => subject))];

  it('keeps every promise on at least one server in smoke', () => {
    const kept = new Set(smoke.map(({ promise }) => promiseOf(promise)));
    const lacking = tests
      .map(({ promise }) => promiseOf(promise))
      .filter((name) => !kept.has(name));
    expect(lacking.filter((name) => !isOfSome(name))).toEqual([]);
    expect(kept.size).toBeGreaterThan(40);
  });

  it('keeps every promise on every server in full', () => {
    const all = new Set(tests.map(({ promise }) => promiseOf(promise)));
    expect([...all].filter(isOfSome).length).toBe(Object.keys(OF_SOME).length);
    expect(subjects.length).toBeGreaterThanOrEqual(13);
    for (const one of subjects) {
      const kept = tests.filter(({ subject }) => subject === one).map(({ promise }) => promise);
      expect(
        [...all].filter((name) => !isOfSome(name) && !kept.map(promiseOf).includes(name)),
        one,
      ).toEqual([]);
    }
  });

  it('has a real server of every engine in smoke, and a restore of every copy method', () => {
    const names = [...new Set(smoke.map(({ subject }) => subject))].toSorted().join('; ');
    expect(names).toMatch(/MongoDB.*PostgreSQL.*(redis|valkey)/);
    const restores = smoke.filter(({ promise }) =>
      promise.includes('restored with nothing missing'),
    );
    for (const copy of COPY_METHODS) {
      const of = restores.filter(({ promise }) => promise.includes(`copy: ${copy} `));
      expect(of, copy).not.toEqual([]);
    }
  });
});
