import { type ChildProcess, execFile, spawn } from 'node:child_process';
import { once } from 'node:events';
import type { Stats } from 'node:fs';
import { lstat, mkdtemp, readdir, readFile, readlink, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { freePort } from '../src/testbed/postgres/server.ts';
import { get } from '../src/testbed/processes.ts';
import { VERSION } from '../src/version.ts';
import { makeTempDir } from './support/temp-dir.ts';

const repository = fileURLToPath(new URL('..', import.meta.url));
const run = promisify(execFile);
const children: ChildProcess[] = [];
let dir: string;
let root: string;
let quiesce: string;

/** What a container's process has: no node on PATH, nothing of this machine's environment. */
const bare = (extra: Readonly<Record<string, string>> = {}): Record<string, string> => ({
  PATH: join(root, 'usr/bin'),
  ...extra,
});

async function layOut(out: string, node: string): Promise<void> {
  await run(process.execPath, ['scripts/build.mjs', '--outdir', join(out, 'usr/lib/quiesce')], {
    cwd: repository,
  });
  await run(process.execPath, ['scripts/image-root.mjs', out, node], { cwd: repository });
}

/** Everything under the folder, by its path there. */
async function walk(folder: string): Promise<{ path: string; info: Stats }[]> {
  const paths = (await readdir(folder, { recursive: true })).sort();
  return Promise.all(paths.map(async (path) => ({ path, info: await lstat(join(folder, path)) })));
}

/** Runs until it ends, whatever its exit code. */
async function finish(...args: string[]): Promise<{ code: number; out: string; err: string }> {
  const child = spawn('quiesce', args, {
    cwd: '/',
    env: bare(),
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  const output = { out: '', err: '' };
  child.stdout.on('data', (chunk: Buffer) => (output.out += chunk.toString()));
  child.stderr.on('data', (chunk: Buffer) => (output.err += chunk.toString()));
  const [code] = (await once(child, 'close')) as [number];
  return { code, ...output };
}

beforeAll(async () => {
  dir = await makeTempDir('q-image-');
  root = join(dir, 'root');
  await layOut(root, process.execPath);
  quiesce = join(root, 'usr/bin/quiesce');
});

afterAll(async () => {
  for (const child of children) child.kill('SIGKILL');
  await rm(dir, { recursive: true, force: true });
});

test('the image holds the bundle, its license and the command, and nothing else', async () => {
  const files = (await walk(root))
    .filter(({ info }) => !info.isDirectory())
    .map(({ path }) => path);
  const bundle =
    /^usr\/lib\/quiesce\/(?:cli\.js|package\.json|commands\/[\w-]+\.mjs|native\/linux-(?:x64|arm64)\/[\w-]+\.node)$/;
  expect(files.filter((file) => !bundle.test(file))).toEqual([
    'usr/bin/quiesce',
    'usr/share/doc/quiesce/LICENSE',
  ]);
  expect(await readlink(quiesce)).toBe('../lib/quiesce/cli.js');
});

test('the image is as large as its page says', async () => {
  const page = await readFile(join(repository, 'docs/image.md'), 'utf8');
  const bytes = (await walk(root)).map(({ info }) => (info.isFile() ? info.size : 0));
  const mb = bytes.reduce((sum, one) => sum + one, 0) / 1e6;
  const told = Number(/plus ([\d.]+) MB that belong to root/.exec(page)?.[1]);
  expect(Math.abs(told / mb - 1), `${mb.toFixed(1)} MB`).toBeLessThan(0.1);
});

test('any user may read and run it, and only root may change it', async () => {
  for (const { path, info } of await walk(root)) {
    if (info.isSymbolicLink()) continue;
    const runs = info.isDirectory() || path === 'usr/lib/quiesce/cli.js';
    const forAll = path === 'run/quiesce' || path === 'var/lib/quiesce';
    expect(info.mode & 0o7777, path).toBe(forAll ? 0o1777 : runs ? 0o755 : 0o644);
  }
});

test('the kernel finds the interpreter that was named, without env', async () => {
  const [first] = (await readFile(quiesce, 'utf8')).split('\n');
  expect(first).toBe(`#!${process.execPath}`);
  const elsewhere = join(dir, 'elsewhere');
  await layOut(elsewhere, '/nodejs/bin/node');
  // Laid out again, as a build on a kept folder does it.
  await run(process.execPath, ['scripts/image-root.mjs', elsewhere, '/usr/bin/node'], {
    cwd: repository,
  });
  const cli = await readFile(join(elsewhere, 'usr/lib/quiesce/cli.js'), 'utf8');
  expect(cli.startsWith('#!/usr/bin/node\n')).toBe(true);
  expect(cli.match(/^#!/gm)).toHaveLength(1);
});

test('a relative interpreter and a folder without a build are refused', async () => {
  const script = join(repository, 'scripts/image-root.mjs');
  await expect(run(process.execPath, [script, root, 'node'])).rejects.toMatchObject({ code: 2 });
  const empty = await mkdtemp(join(dir, 'empty-'));
  await expect(run(process.execPath, [script, empty, '/usr/bin/node'])).rejects.toMatchObject({
    code: 1,
  });
});

test('found on PATH it runs from any folder with no file but its own', async () => {
  expect(await finish('--version')).toEqual({ code: 0, out: `${VERSION}\n`, err: '' });
  const data = await mkdtemp(join(dir, 'data-'));
  const prepared = await finish('prepare-restore', '--data', data);
  expect(prepared).toMatchObject({ code: 0, err: '' });
  expect(prepared.out.trim().split('\n')).toHaveLength(1);
});

test('its sidecar lives without the engine, refuses a freeze and stops on SIGTERM', async () => {
  const port = await freePort();
  const socket = join(dir, 'control.sock');
  const child = spawn('quiesce', ['sidecar'], {
    cwd: '/',
    env: bare({
      QUIESCE_ENGINE: 'postgres',
      QUIESCE_SOCKET: socket,
      QUIESCE_STATE_DIR: join(dir, 'state'),
      QUIESCE_CONTROL_ADDR: 'off',
      QUIESCE_METRICS_ADDR: `127.0.0.1:${port}`,
      PGHOST: '127.0.0.1',
      PGPORT: '1',
      PGUSER: 'quiesce',
    }),
    stdio: 'ignore',
  });
  children.push(child);
  await expect
    .poll(async () => (await get({ host: '127.0.0.1', port }, '/healthz')).status, {
      timeout: 10_000,
    })
    .toBe(200);
  expect((await get({ host: '127.0.0.1', port }, '/readyz')).status).toBe(503);
  const hook = run('quiesce', ['freeze'], { cwd: '/', env: bare({ QUIESCE_SOCKET: socket }) });
  await expect(hook).rejects.toMatchObject({ code: 5, stdout: '' });
  child.kill('SIGTERM');
  expect(await once(child, 'exit')).toEqual([0, null]);
});
