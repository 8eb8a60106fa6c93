import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { cp, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { cliPath, runCli } from '../../src/testbed/processes.ts';
import { RedisServer, redisFolder } from '../support/redis.ts';
import { TestSidecar } from '../support/sidecar.ts';

/*
 * What callers get that do not know of each other: the built command, a real sidecar, a real Redis.
 * A number is an exit code. Comments say where a copy is cut: no caller may get 0 for a copy cut elsewhere.
 */
let dir: string;
let remove: () => Promise<void>;
let server: RedisServer;
let sidecar: TestSidecar;
let count = 0;

beforeAll(async () => {
  ({ dir, remove } = await redisFolder());
  const config = ['appendonly yes', 'save ""'];
  server = await RedisServer.start({ binary: 'redis-server', dir: join(dir, 'data'), config });
});
afterAll(async () => {
  await server.kill();
  await remove();
});
beforeEach(async () => {
  count += 1;
  sidecar = await new TestSidecar(join(dir, `q${count}`), env(`q${count}`)).start();
});
afterEach(() => sidecar.stop());

function env(name: string): Record<string, string> {
  return {
    QUIESCE_ENGINE: 'redis',
    QUIESCE_DATA_DIR: join(dir, 'data'),
    QUIESCE_STATE_DIR: join(dir, name, 'state'),
    QUIESCE_SOCKET: join(dir, name, 'control.sock'),
    REDIS_HOST: '127.0.0.1',
    REDIS_PORT: String(server.port),
  };
}

const run = async (...args: string[]): Promise<number | null> => (await sidecar.cli(...args)).code;
const freeze = (...args: string[]): Promise<number | null> => run('freeze', ...args);
const thaw = (...args: string[]): Promise<number | null> => run('thaw', ...args);

async function killSidecar(): Promise<void> {
  await sidecar.signal('SIGKILL');
  await sidecar.start();
}

describe('no caller gets success for a copy that was cut outside its hold', () => {
  it('if a backup without an id is refused, and thaws before the other one’s copy is cut', async () => {
    expect(await freeze('--id', 'A')).toBe(0);
    expect(await freeze()).toBe(4);
    expect(await thaw()).toBe(7);
    // The copy of A is cut.
    expect(await thaw('--id', 'A')).toBe(7);
  });

  it('if two backups overlap with one static id', async () => {
    expect(await freeze('--id', 'n')).toBe(0);
    expect(await freeze('--id', 'n')).toBe(4);
    expect(await thaw('--id', 'n')).toBe(7);
    // The copy of B is cut.
    expect(await thaw('--id', 'n')).toBe(7);
  });

  it('if, with one static id, the first expires, the second freezes and the first thaws', async () => {
    // The thaw is expected for as long as the lease was: on a busy machine, commands take seconds.
    expect(await freeze('--id', 'n', '--ttl', '6s')).toBe(0);
    await expect
      .poll(async () => (await sidecar.status()).state, { timeout: 20_000 })
      .toBe('thawed');
    expect(await freeze('--id', 'n')).toBe(0);
    expect(await thaw('--id', 'n')).toBe(7);
    // The copy of B is cut.
    expect(await thaw('--id', 'n')).toBe(7);
  });

  it.each([
    ['with its id', ['--id', 'A'], false],
    ['without', [], false],
    ['with its id, and the sidecar is killed in between', ['--id', 'A'], true],
    ['without, and the sidecar is killed in between', [], true],
  ])(
    'if an operator thaws by hand, the copy is cut, and the post hook thaws %s',
    async (_, id, kill) => {
      expect(await freeze('--id', 'A')).toBe(0);
      expect(await thaw()).toBe(0);
      if (kill) await killSidecar();
      const late = await sidecar.cli('thaw', ...id);
      expect(late.code).toBe(7);
      expect(late.stderr).toContain('ALREADY_THAWED');
      expect(late.stdout).toContain('"verdict":"consistent"');
    },
  );

  it('if a thaw has an id whose freeze never ran', async () => {
    expect(await freeze('--id', 'n')).toBe(0);
    expect(await thaw('--id', 'n')).toBe(0);
    expect(await thaw('--id', 'n')).toBe(7);
    expect(await freeze('--id', 'n', '--ttl', '30h')).toBe(2);
    expect(await thaw('--id', 'n')).toBe(7);
    expect(await thaw('--id', 'never')).toBe(7);
  });

  it('if the evidence on the volume is removed during the hold', async () => {
    expect(await freeze('--id', 'A')).toBe(0);
    await rm(join(dir, 'data/.quiesce'), { recursive: true });
    // The copy is cut.
    const thawed = await sidecar.cli('thaw', '--id', 'A');
    expect(thawed.code).toBe(7);
    expect(thawed.stdout).toContain('evidence-lost');
  });

  it('if a second sidecar starts on the volume during the hold, and only the first owns the hold', async () => {
    expect(await freeze('--id', 'A')).toBe(0);
    const second = await new TestSidecar(join(dir, 'second'), env('second')).start('live');
    try {
      expect(await second.cli('freeze')).toMatchObject({ code: 4 });
      await expect
        .poll(async () => (await second.status()).engine.message)
        .toContain('VOLUME_IN_USE');
      await sleep(1_500);
      expect(await thaw('--id', 'A')).toBe(0);
      await sidecar.signal('SIGKILL');
      await expect
        .poll(async () => (await second.status()).engine.reachable, { timeout: 10_000 })
        .toBe(true);
      expect(await second.cli('freeze', '--id', 'B')).toMatchObject({ code: 0 });
      expect(await second.cli('thaw', '--id', 'B')).toMatchObject({ code: 0 });
    } finally {
      await second.stop();
    }
  });
});

describe('a caller that keeps to the contract succeeds', () => {
  it('with its own id, although other callers are refused meanwhile', async () => {
    expect(await freeze('--id', 'A')).toBe(0);
    expect(await freeze('--id', 'B')).toBe(4);
    expect(await freeze()).toBe(4);
    expect(await thaw('--id', 'B')).toBe(7);
    expect(await thaw('--id', 'A')).toBe(0);
    expect(await freeze('--id', 'B')).toBe(0);
    expect(await thaw('--id', 'B')).toBe(0);
  });

  it('after waiting for its turn, with the same static id', async () => {
    expect(await freeze('--id', 'n')).toBe(0);
    const second = freeze('--id', 'n', '--wait', '--timeout', '20s');
    await sleep(500);
    expect(await thaw('--id', 'n')).toBe(0);
    expect(await second).toBe(0);
    expect(await thaw('--id', 'n')).toBe(0);
  });

  it('unless it waits in vain, and then it is refused', async () => {
    expect(await freeze('--id', 'A')).toBe(0);
    const { code, stderr } = await sidecar.cli('freeze', '--wait', '--timeout', '1s');
    expect(code).toBe(4);
    expect(stderr).toContain('FREEZE_HELD');
    expect(await thaw('--id', 'A')).toBe(0);
  });

  it('after renewing its own lease', async () => {
    expect(await freeze('--id', 'A', '--ttl', '2s')).toBe(0);
    expect(await freeze('--renew', '--id', 'A', '--ttl', '30s')).toBe(0);
    expect(await freeze('--renew', '--id', 'B')).toBe(4);
    await sleep(2_500);
    expect(await thaw('--id', 'A')).toBe(0);
    const late = await sidecar.cli('freeze', '--renew', '--id', 'A');
    expect(late).toMatchObject({ code: 7, stderr: expect.stringContaining('NOT_FROZEN') });
    expect(await freeze('--renew')).toBe(2);
  });

  it('when it abandons a freeze, whose own thaw then fails', async () => {
    expect(await thaw('--abandon')).toBe(0);
    expect(await freeze('--id', 'A')).toBe(0);
    expect(await thaw('--abandon', '--id', 'B')).toBe(0);
    expect((await sidecar.status()).state).toBe('frozen');
    const { code, stdout } = await sidecar.cli('thaw', '--abandon', '-o', 'json');
    expect(code).toBe(0);
    expect(JSON.parse(stdout)).toMatchObject({
      released: true,
      verdict: 'inconsistent',
      reasons: ['abandoned'],
    });
    const own = await sidecar.cli('thaw', '--id', 'A');
    expect(own).toMatchObject({ code: 7, stderr: expect.stringContaining('NOT_CONSISTENT') });
  });

  it.each([
    ['freeze', 'held'],
    ['thaw', 'consistent'],
  ])('when it sends the same %s again', async (verb, verdict) => {
    if (verb === 'thaw') expect(await freeze('--id', 'A')).toBe(0);
    const call = [verb, '--id', 'A', '--idempotency-key', 'k-1', '-o', 'json'];
    for (const _ of [1, 2]) {
      const { code, stdout } = await sidecar.cli(...call);
      expect(code, stdout).toBe(0);
      expect(JSON.parse(stdout)).toMatchObject({ id: 'A', verdict });
    }
    if (verb === 'thaw') await killSidecar();
    const again = await sidecar.cli(...call);
    expect(again.code, again.stdout).toBe(0);
    const other = await sidecar.cli(verb, '--idempotency-key', 'k-1');
    expect(other).toMatchObject({
      code: 2,
      stderr: expect.stringContaining('IDEMPOTENCY_KEY_REUSED'),
    });
    if (verb === 'freeze') expect(await thaw('--id', 'A')).toBe(0);
  });

  it('if its sidecar is killed while it freezes: the command reconnects, and the freeze holds', async () => {
    await server.admin.call('CLIENT', 'PAUSE', '3000', 'ALL');
    const child = spawn(process.execPath, [cliPath(), 'freeze', '--id', 'A', '--timeout', '20s'], {
      env: { PATH: process.env['PATH'], QUIESCE_SOCKET: sidecar.socket },
      stdio: ['ignore', 'ignore', 'inherit'],
    });
    await sleep(1_000);
    await sidecar.signal('SIGKILL');
    await sidecar.start('live');
    expect((await once(child, 'exit'))[0]).toBe(0);
    expect((await sidecar.status()).lease?.id).toBe('A');
    expect(await thaw('--id', 'A')).toBe(0);
  });
});

it('a restored pod verifies against the receipt of its copy, even after a restart of its sidecar', async () => {
  expect(await freeze('--id', 'copied')).toBe(0);
  const copy = join(dir, 'restored');
  await cp(join(dir, 'data'), copy, { recursive: true });
  expect(await thaw('--id', 'copied')).toBe(0);
  const prepared = await runCli(['prepare-restore', '--data', copy], {});
  expect(prepared.code, prepared.stderr).toBe(0);
  const config = ['appendonly yes', 'save ""'];
  const other = await RedisServer.start({ binary: 'redis-server', dir: copy, config });
  const settings = { ...env('restored-q'), QUIESCE_DATA_DIR: copy, REDIS_PORT: String(other.port) };
  const verifier = await new TestSidecar(join(dir, 'restored-q'), settings).start();
  try {
    await expect
      .poll(async () => (await verifier.status()).restore, { timeout: 10_000 })
      .toMatchObject({ id: 'copied', verified: true });
    for (const _ of ['first', 'again']) {
      const { code, stdout, stderr } = await verifier.cli('verify');
      expect(code, stderr).toBe(0);
      expect(stdout).toContain('verified');
      const kept = await verifier.cli('receipts', 'copied', '-o', 'json');
      expect(JSON.parse(kept.stdout)).toMatchObject({ id: 'copied', verdict: 'held' });
      await verifier.stop();
      await verifier.start();
    }
  } finally {
    await verifier.stop();
    await other.kill();
  }
});
