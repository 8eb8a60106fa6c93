import { spawn } from 'node:child_process';
import { readFile, rm } from 'node:fs/promises';
import { createRequire } from 'node:module';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterEach, expect, test } from 'vitest';
import { cleanEnvironment } from '../bench/support/environment.ts';
import { type Mongod, mongoEnv, startStandalone } from './support/mongod.ts';
import { makeTempDir, startServer } from './support/postgres.ts';
import { RedisServer } from './support/redis.ts';
import { TestSidecar } from './support/sidecar.ts';

/** Memory of an idle sidecar, relative to an empty server. bench/results.md has measurements from an idle machine. */
const LIMIT = 1.45;
const IDLE_AFTER_S = 30;
const STEADY_FOR_S = 5;
const SETTLES_WITHIN_S = 60;

/** The package that MongoDB's driver depends on. */
const fromDriver = createRequire(createRequire(import.meta.url).resolve('mongodb'));
const { saslprep } = fromDriver('@mongodb-js/saslprep') as { saslprep: (text: string) => string };

// Node settings of the shell would change both measurements and hide a difference between them.
for (const name of Object.keys(process.env)) {
  if (!(name in cleanEnvironment()) && /^(?:NODE_|OPENSSL_|MALLOC_|UV_)/.test(name)) {
    delete process.env[name];
  }
}

const undo: (() => unknown)[] = [];
afterEach(async () => {
  for (const one of undo.splice(0).toReversed()) await one();
});

async function residentMb(pid: number | undefined): Promise<number> {
  const status = await readFile(`/proc/${pid}/status`, 'utf8');
  return Number(/^VmRSS:\s+(\d+) kB$/m.exec(status)?.[1]) / 1_024;
}

/**
 * Memory in MB once it is steady. V8 collects the garbage of the start once it is idle, some ten seconds
 * later; a value from before says nothing.
 */
async function settled({ pid }: TestSidecar): Promise<number> {
  const seen: number[] = [];
  const last = (): number[] => seen.slice(-STEADY_FOR_S);
  for (let second = 0; second < SETTLES_WITHIN_S; second += 1) {
    seen.push(await residentMb(pid));
    const steady = Math.max(...last()) < Math.min(...last()) * 1.01;
    if (second >= IDLE_AFTER_S && steady) return Math.max(...last());
    await sleep(1_000);
  }
  throw new Error(`its memory does not settle: ${last().map(Math.round).join(' ')} MB`);
}

test('SASLprep leaves printable ASCII unchanged, so a sidecar need not load its tables for it', () => {
  const letters = Array.from({ length: 95 }, (_, at) => String.fromCharCode(32 + at));
  for (const letter of letters) expect(saslprep(letter)).toBe(letter);
  expect(saslprep(letters.join(''))).toBe(letters.join(''));
  expect(saslprep('\u00AA\u00AD')).toBe('a');
  expect(() => saslprep('\u0007')).toThrow('Prohibited');
});

interface StartedServer {
  readonly env: Record<string, string>;
  readonly stop: () => Promise<unknown>;
}

const ENGINES: Readonly<Record<string, (dir: string) => Promise<StartedServer>>> = {
  postgres: async () => {
    const server = await startServer({ major: 17 });
    return { env: server.roleEnv, stop: () => server.stop() };
  },
  redis: async (dir) => {
    const server = await RedisServer.start({ binary: 'redis-server', dir: join(dir, 'data') });
    const env = { REDIS_HOST: '127.0.0.1', REDIS_PORT: String(server.port) };
    return { env: { QUIESCE_ENGINE: 'redis', ...env }, stop: () => server.kill() };
  },
  mongodb: async (dir) => {
    const server = await startStandalone(join(dir, 'db'));
    return { env: mongoEnv(server), stop: () => server.stop() };
  },
};

/** Starts a server and its sidecar. @returns the sidecar once it is ready */
async function sidecarOf(start: (dir: string) => Promise<StartedServer>): Promise<TestSidecar> {
  const dir = await makeTempDir();
  undo.push(() => rm(dir, { recursive: true, force: true }));
  const { env, stop } = await start(dir);
  undo.push(stop);
  const sidecar = new TestSidecar(dir, env);
  undo.push(() => sidecar.signal('SIGKILL'));
  return await sidecar.start();
}

test.each(Object.entries(ENGINES))(
  'an idle sidecar of %s settles at less than 1.45 times the memory of an empty server',
  async (_engine, start) => {
    const sidecar = await sidecarOf(start);
    const script = "require('node:http').createServer().listen(0)";
    const empty = spawn(process.execPath, ['-e', script], { stdio: 'ignore' });
    undo.push(() => empty.kill('SIGKILL'));
    expect((await settled(sidecar)) / (await residentMb(empty.pid))).toBeLessThan(LIMIT);
  },
  120_000,
);

test('a password beyond ASCII works for MongoDB', async () => {
  const sidecar = await sidecarOf(async (dir) => {
    const server = await startStandalone(join(dir, 'db'));
    const [username, pwd] = ['umlaut', 'pässwörd\u00AD'];
    const roles = [{ role: await roleOf(server), db: 'admin' }];
    await server.admin({ createUser: username, pwd, roles });
    const uri = `mongodb://${username}:${encodeURIComponent(pwd)}@${server.address}/?authSource=admin`;
    return { env: { ...mongoEnv(server), MONGODB_URI: uri }, stop: () => server.stop() };
  });
  expect(await sidecar.status()).toMatchObject({ engine: { reachable: true } });
}, 120_000);

/** The name of the role that the sidecar's own user has. */
async function roleOf(server: Mongod): Promise<string> {
  const { users } = await server.admin({ usersInfo: 'quiesce' });
  return (users as { roles: { role: string }[] }[])[0]?.roles[0]?.role ?? '';
}

test('V8 knows the flags that a sidecar sets: it prints no warning about them', async () => {
  const sidecar = await sidecarOf(ENGINES['redis'] as (typeof ENGINES)[string]);
  expect(sidecar.output.split('\n').filter((line) => !/^(?:\{|$)/.test(line))).toEqual([]);
});
