import { execFile, spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { access, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { createServer } from 'node:http';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { DEEP_TIMEOUT_MS } from '../src/defaults.ts';
import { QuiesceError } from '../src/errors.ts';
import { buildControlApp } from '../src/http/app.ts';
import { createLogger } from '../src/logger.ts';
import { listenOnSocket } from '../src/sidecar/control-socket.ts';
import { FakeControl, aReceipt, consistent, notConsistent } from './support/fake-control.ts';

interface Outcome {
  readonly code: number | null;
  readonly stdout: string;
  readonly stderr: string;
}

const root = resolve(import.meta.dirname, '..');
let dist: string;
let cli: string;
let dir: string;
let socket: string;
let control: FakeControl;
let app: ReturnType<typeof buildControlApp>;

beforeAll(async () => {
  dist = await mkdtemp(join(tmpdir(), 'quiesce-cli-'));
  cli = join(dist, 'cli.js');
  const build = spawn(process.execPath, [
    join(root, 'scripts/build.mjs'),
    '--cli-only',
    '--outdir',
    dist,
  ]);
  expect((await once(build, 'exit'))[0]).toBe(0);
});
afterAll(() => rm(dist, { recursive: true, force: true }));

beforeEach(async () => {
  dir = await mkdtemp(join(tmpdir(), 'quiesce-shim-'));
  socket = join(dir, 'control.sock');
  control = new FakeControl();
  app = buildControlApp({
    control,
    transport: 'socket',
    logger: createLogger({ level: 'silent' }),
  });
  await listenOnSocket(app, socket);
});
afterEach(async () => {
  await app.close();
  await rm(dir, { recursive: true, force: true });
});

function quiesce(
  args: readonly string[],
  env: Record<string, string> = {},
  input = '',
): Promise<Outcome> {
  return new Promise((done) => {
    const child = execFile(
      process.execPath,
      [cli, ...args],
      { env: { PATH: process.env['PATH'] ?? '', QUIESCE_SOCKET: socket, ...env } },
      (_error, stdout, stderr) => done({ code: child.exitCode, stdout, stderr }),
    );
    child.stdin?.end(input);
  });
}

const oneLine = /^[^\n]+\n$/;

describe('the bundle', () => {
  it('is one executable file that imports node: only', async () => {
    const text = await readFile(cli, 'utf8');
    expect(text.startsWith('#!/usr/bin/env node\n')).toBe(true);
    await access(cli, 1);
    const loads = [...text.matchAll(/(?:from|import|require)\s*\(?"([^"]+)"/g)].map(
      (match) => match[1],
    );
    expect(loads.filter((name) => !/^(?:node:|\.\/commands\/)/.test(name ?? ''))).toEqual([]);
    expect(loads).toContain('node:net');
  });

  it('loads neither an HTTP client nor Node’s loader for ES modules', async () => {
    const list = join(dir, 'loaded.json');
    const spy = join(dir, 'spy.cjs');
    const write = `require('node:fs').writeFileSync(${JSON.stringify(list)}, JSON.stringify(process.moduleLoadList))`;
    await writeFile(spy, `process.on('exit', () => ${write});`);
    const loaded = async (): Promise<string[]> =>
      JSON.parse(await readFile(list, 'utf8')) as string[];
    const env = { PATH: process.env['PATH'] ?? '', NODE_OPTIONS: `--require ${spy}` };
    await writeFile(join(dir, 'empty.cjs'), '');
    await once(spawn(process.execPath, [join(dir, 'empty.cjs')], { env }), 'exit');
    const always = new Set(await loaded());
    for (const verb of ['freeze', 'thaw', 'status']) {
      expect((await quiesce([verb], env)).code).toBe(0);
      const own = (await loaded()).filter((name) => !always.has(name));
      expect(own).toContain('NativeModule net');
      const dear =
        /NativeModule (?:_?http|https|_?tls|crypto|internal\/(?:modules\/esm|deps\/undici))/;
      expect(own.filter((name) => dear.test(name))).toEqual([]);
    }
  });
});

describe('freeze', () => {
  it('prints one line with the server, the lease and the id', async () => {
    const { code, stdout, stderr } = await quiesce(['freeze', '--id', 'b1', '--ttl=10m']);
    expect([code, stderr]).toEqual([0, '']);
    expect(stdout).toMatch(oneLine);
    expect(stdout).toMatch(
      /^frozen: postgres 17\.10 primary, sealed, position 0\/3000158, lease until \S+Z \((?:10 min|9 min 59 s)\), id b1\n$/,
    );
    expect(control.freezes[0]).toMatchObject({ id: 'b1', ttlMs: 600_000 });
    expect(control.freezes[0]?.by).toBe('socket (quiesce-cli/0.1.0)');
  });

  it('fails if the lease has expired when the answer is read', async () => {
    control.onFreeze = () =>
      Promise.resolve(aReceipt({ id: 'b1', expiresAt: new Date(Date.now() - 1).toISOString() }));
    const { code, stdout, stderr } = await quiesce(['freeze', '--id', 'b1']);
    expect([code, stdout]).toEqual([7, '']);
    expect(stderr).toMatch(
      /^quiesce: NOT_CONSISTENT: Freeze b1 was held, but its lease expired at /,
    );
  });

  it('prints every note that qualifies the promise', async () => {
    control.onFreeze = () =>
      Promise.resolve(
        aReceipt({
          mode: 'crash-consistent',
          reasons: ['grant-missing'],
          notes: ['The role may not\nrun pg_backup_start.'],
          evidence: { onVolume: false, detail: 'no space left' },
        }),
      );
    const { stdout } = await quiesce(['freeze']);
    expect(stdout).toMatch(oneLine);
    expect(stdout).toContain('crash-consistent');
    expect(stdout).toContain(
      'Not on the volume: no space left. The role may not run pg_backup_start.',
    );
  });

  it('prints exactly the receipt with -o json', async () => {
    const { code, stdout, stderr } = await quiesce(['freeze', '-o', 'json', '--id', 'b1']);
    expect([code, stderr]).toEqual([0, '']);
    expect(stdout).toMatch(oneLine);
    expect(JSON.parse(stdout)).toMatchObject({ kind: 'Receipt', id: 'b1', verdict: 'held' });
  });

  it.each([
    ['FREEZE_HELD', 4],
    ['FREEZE_TIMEOUT', 6],
    ['ENGINE_PRIVILEGE', 5],
    ['COPY_UNSUPPORTED', 5],
    ['JOURNAL_FAILED', 5],
    ['INTERNAL', 1],
  ] as const)('ends with %s in exit code %d and one line on stderr', async (code, exit) => {
    control.onFreeze = () => Promise.reject(new QuiesceError(code, 'It went wrong.'));
    const text = await quiesce(['freeze']);
    expect([text.code, text.stdout]).toEqual([exit, '']);
    expect(text.stderr).toMatch(oneLine);
    expect(text.stderr).toMatch(new RegExp(`^quiesce: ${code}: It went wrong\\. Hint: .+`));
    const json = await quiesce(['freeze', '-ojson']);
    expect([json.code, json.stderr]).toEqual([exit, '']);
    expect(JSON.parse(json.stdout)).toMatchObject({ error: { code } });
  });

  it.each([
    [['--ttl', '10'], '--ttl'],
    [['--ttl', '-5s'], '--ttl'],
    [['--ttl=0s'], '--ttl'],
    [['--ttl'], '--ttl'],
    [['--ttl', '30h'], '--ttl'],
    [['--timeout', '1m30s'], '--timeout'],
    [['--timeout', '99999999999s'], '--timeout'],
    [['--id', 'a b'], '--id'],
    [['--id='], '--id'],
    [['--id', 'a', '--id', 'b'], '--id'],
    [['--id', '--ttl', '1s'], '--id'],
    [['--renew'], '--renew'],
    [['--renew', '--id', 'a', '--wait'], '--wait'],
    [['--wait=yes'], '--wait'],
    [['--abandon'], '--abandon'],
    [['--idempotency-key', 'a b'], '--idempotency-key'],
    [['--force'], '--force'],
    [['-x'], '-x'],
    [['-o', 'yaml'], '-o'],
    [['extra'], 'extra'],
    [['--password=hunter2'], '--password'],
  ])(
    'refuses %j with exit code 2 and a message about it, and makes no call',
    async (args, named) => {
      const { code, stdout, stderr } = await quiesce(['freeze', ...args]);
      expect([code, stdout]).toEqual([2, '']);
      expect(stderr).toMatch(oneLine);
      expect(stderr).toMatch(/^quiesce: USAGE: /);
      expect(stderr).toContain(named);
      expect(stderr).not.toContain('hunter2');
      expect(control.freezes).toEqual([]);
    },
  );

  it('does not believe a success that the answer does not contain', async () => {
    for (const answer of [consistent(), aReceipt({ id: 'other' }), {} as never, [] as never]) {
      control.onFreeze = () => Promise.resolve(answer);
      const { code, stdout } = await quiesce(['freeze', '--id', 'b1']);
      expect([code, stdout]).toEqual([1, '']);
    }
  });
});

describe('thaw', () => {
  it('ends its line with the final receipt', async () => {
    const { code, stdout, stderr } = await quiesce(['thaw', '--id', 'b1']);
    expect([code, stderr]).toEqual([0, '']);
    expect(stdout).toMatch(oneLine);
    const [words = '', receipt = ''] = stdout.split(/ receipt=(.*)/s);
    expect(words).toBe(
      'thawed: consistent, held 5.2 s, postgres 17.10 primary, sealed, position 0/3000158, id b1',
    );
    expect(JSON.parse(receipt)).toMatchObject({ id: 'b1', verdict: 'consistent' });
  });

  it('prints the receipt and fails when the hold did not last', async () => {
    control.onThaw = () => Promise.reject(notConsistent());
    const text = await quiesce(['thaw']);
    expect(text.code).toBe(7);
    expect(text.stdout).toMatch(/^thawed: NOT consistent \(lease-expired\), .+ receipt=\{.+\}\n$/);
    expect(text.stderr).toMatch(
      /^quiesce: NOT_CONSISTENT: The lease expired at noon\. Hint: .+\n$/,
    );
    const json = await quiesce(['thaw', '-o', 'json']);
    expect([json.code, json.stderr]).toEqual([7, '']);
    expect(JSON.parse(json.stdout)).toMatchObject({
      error: { code: 'NOT_CONSISTENT' },
      receipt: { verdict: 'inconsistent' },
    });
  });

  it('fails when nothing was frozen', async () => {
    control.onThaw = () => Promise.reject(new QuiesceError('NOT_FROZEN', 'Nothing is frozen.'));
    expect(await quiesce(['thaw'])).toMatchObject({ code: 7, stdout: '' });
  });

  it('exits with its code even if its output is a closed pipe', async () => {
    const child = spawn(process.execPath, [cli, 'thaw'], {
      env: { QUIESCE_SOCKET: socket },
      stdio: ['ignore', 'pipe', 'pipe'],
    });
    child.stdout.destroy();
    child.stderr.destroy();
    expect((await once(child, 'exit'))[0]).toBe(0);
  });
});

describe('status, metadata, receipts and verify', () => {
  it('print text for people, and the exact answer as JSON', async () => {
    control.kept = [consistent({ id: 'b2' }), consistent({ id: 'b1' })];
    expect((await quiesce(['status'])).stdout).toMatch(
      /^thawed; postgres 17\.10 primary, reachable; copy snapshot; last receipt b2: consistent; .+\n$/,
    );
    expect((await quiesce(['metadata'])).stdout).toContain(
      'version  17.10\n\ndatabases (1)\n  NAME  BYTES\n  app   42',
    );
    expect((await quiesce(['receipts'])).stdout).toMatch(/^ID .+\nb2 .+\nb1 .+\n$/);
    expect((await quiesce(['receipts', 'b1'])).stdout).toContain('verdict: consistent');
    for (const args of [['status'], ['metadata'], ['receipts'], ['receipts', 'b1']]) {
      const { code, stdout } = await quiesce([...args, '-o', 'json']);
      expect(code).toBe(0);
      expect(stdout).toMatch(oneLine);
      JSON.parse(stdout);
    }
    expect(await quiesce(['receipts', 'none'])).toMatchObject({ code: 7 });
  });

  it('verify sends the last receipt, a file, an answer in a file, or standard input', async () => {
    control.kept = [consistent({ id: 'last' })];
    const file = join(dir, 'r.json');
    await writeFile(file, JSON.stringify({ error: {}, receipt: consistent({ id: 'wrapped' }) }));
    const first = await quiesce(['verify']);
    expect([first.code, first.stdout]).toEqual([
      0,
      'verified: 1 checks passed: system-identifier; level position\n',
    ]);
    await quiesce(['verify', file, '--amcheck', '--amcheck-timeout', '7s']);
    await quiesce(['verify', '-'], {}, JSON.stringify(aReceipt({ id: 'piped' })));
    expect(control.verifications.map(({ receipt }) => receipt.id)).toEqual([
      'last',
      'wrapped',
      'piped',
    ]);
    expect(control.verifications[1]?.options).toEqual({ deep: true, deepTimeoutMs: 7_000 });
    await quiesce(['verify', file, '--deep', '--deep-timeout=8s']);
    await quiesce(['verify', file, '--deep']);
    expect(control.verifications.slice(3).map(({ options }) => options)).toEqual([
      { deep: true, deepTimeoutMs: 8_000 },
      { deep: true, deepTimeoutMs: DEEP_TIMEOUT_MS },
    ]);
  });

  it('verify reports the failed checks and exits 7', async () => {
    control.kept = [consistent()];
    control.onVerify = () =>
      Promise.resolve({
        verified: false,
        checks: [
          { name: 'a', ok: true, message: 'fine' },
          { name: 'position', ok: false, message: 'WAL ends at 0/1' },
        ],
      });
    const { code, stdout, stderr } = await quiesce(['verify']);
    expect(code).toBe(7);
    expect(stdout).toBe('NOT verified: 1 of 2 checks failed: position: WAL ends at 0/1\n');
    expect(stderr).toMatch(/^quiesce: NOT_VERIFIED: /);
  });

  it('verify tells what could not be looked at from what differs', async () => {
    control.kept = [consistent()];
    const checks = [
      { name: 'position', ok: true, message: 'reached' },
      { name: 'sample', ok: false, unchecked: true, deep: true, message: 'no keys were sampled' },
    ];
    const details = { checks, level: 'position', content: 'unchecked' };
    const message = 'The content could not be checked.';
    control.onVerify = () => Promise.reject(new QuiesceError('NOT_VERIFIED', message, { details }));
    const { code, stdout } = await quiesce(['verify', '--deep']);
    expect(code).toBe(7);
    expect(stdout).toBe(
      'NOT verified: 1 of 2 checks could not look: sample: no keys were sampled; level position (content unchecked)\n',
    );
    const json = await quiesce(['verify', '--deep', '-o', 'json']);
    expect(JSON.parse(json.stdout)).toMatchObject(details);
  });

  it('status --acknowledge-restore says what is no longer reported, and exits 7 where nothing is', async () => {
    expect(await quiesce(['status', '--acknowledge-restore'])).toMatchObject({ code: 7 });
    const view = { id: null, mark: 'r-1', level: 'unproven', reason: 'no-receipt' } as const;
    const at = '2026-01-01T00:00:00.000Z';
    const by: string[] = [];
    control.onAcknowledge = (who) => {
      by.push(who);
      return Promise.resolve({ ...view, message: 'no receipt', by: who, at });
    };
    const text = await quiesce(['status', '--acknowledge-restore']);
    expect(text).toMatchObject({ code: 0 });
    expect(text.stdout).toMatch(
      /^acknowledged: restored by r-1, level unproven \(no-receipt\), by socket.* at 2026/,
    );
    const json = await quiesce(['status', '--acknowledge-restore', '-o', 'json']);
    expect(JSON.parse(json.stdout)).toMatchObject({ acknowledged: { ...view, at } });
    expect(by).toHaveLength(2);
  });

  it('verify refuses a file that is not a receipt', async () => {
    expect(await quiesce(['verify'])).toMatchObject({ code: 7, stdout: '' });
    expect(await quiesce(['verify', join(dir, 'none')])).toMatchObject({ code: 2 });
    expect(await quiesce(['verify', '-'], {}, '{')).toMatchObject({ code: 2 });
    expect(await quiesce(['verify', '-'], {}, 'null')).toMatchObject({ code: 2 });
    expect(await quiesce(['verify', '-'], {}, '{"kind":"Receipt"}')).toMatchObject({ code: 2 });
    expect(await quiesce(['verify', '--amcheck-timeout', '5s'])).toMatchObject({ code: 2 });
    expect(await quiesce(['verify', '--deep-timeout', '5s'])).toMatchObject({ code: 2 });
    expect(control.verifications).toEqual([]);
  });
});

describe('a sidecar that does not answer', () => {
  it('is exit code 3, whatever is at the path of the socket', async () => {
    await writeFile(join(dir, 'file'), '');
    for (const path of [join(dir, 'none'), join(dir, 'file'), dir, `/${'x'.repeat(300)}`]) {
      const { code, stdout, stderr } = await quiesce(['freeze'], { QUIESCE_SOCKET: path });
      expect([code, stdout]).toEqual([3, '']);
      expect(stderr).toMatch(/^quiesce: SIDECAR_UNREACHABLE: .+ Hint: .+\n$/);
    }
    const json = await quiesce(['thaw', '-o', 'json'], { QUIESCE_SOCKET: '/none' });
    expect(JSON.parse(json.stdout)).toMatchObject({ error: { code: 'SIDECAR_UNREACHABLE' } });
  });

  it('ends the call at the timeout and three seconds, and closes the connection', async () => {
    const gone = new Promise<void>((resolve) => {
      control.onFreeze = (request) =>
        new Promise(() => request.gone?.addEventListener('abort', () => resolve()));
    });
    const started = Date.now();
    const { code, stderr } = await quiesce(['freeze', '--timeout', '100ms']);
    expect(code).toBe(3);
    expect(stderr).toContain('no answer within 3.1 s');
    expect(Date.now() - started).toBeLessThan(6_000);
    await gone;
  });

  it('sees from a signal to the shim that the caller has gone', async () => {
    const aborted = new Promise<void>((resolve) => {
      control.onFreeze = (request) =>
        new Promise(() => request.gone?.addEventListener('abort', () => resolve()));
    });
    for (const [signal, exit] of [
      ['SIGTERM', 143],
      ['SIGINT', 130],
    ] as const) {
      const before = control.freezes.length;
      const child = spawn(process.execPath, [cli, 'freeze'], { env: { QUIESCE_SOCKET: socket } });
      while (control.freezes.length === before) await new Promise((next) => setTimeout(next, 10));
      child.kill(signal);
      expect((await once(child, 'exit'))[0]).toBe(exit);
      await aborted;
    }
  });

  it('is not mistaken for another program that listens there', async () => {
    const path = join(dir, 'other.sock');
    let answer = 'hello';
    const server = createServer((_request, response) => response.end(answer)).listen(path);
    await once(server, 'listening');
    for (answer of ['hello', '', 'null', '[]', '{}', '{"error":{}}']) {
      const { code, stdout } = await quiesce(['thaw'], { QUIESCE_SOCKET: path });
      expect([code, stdout]).toEqual([1, '']);
    }
    server.close();
  });

  it('that dies in the middle of a call leaves no success behind', async () => {
    const path = join(dir, 'dies.sock');
    const server = createServer((request) => request.socket.destroy()).listen(path);
    await once(server, 'listening');
    const { code, stderr } = await quiesce(['freeze'], { QUIESCE_SOCKET: path });
    expect(code).toBe(3);
    expect(stderr).toContain('closed the connection without an answer');
    server.close();
  });
});

describe('a call', () => {
  it('carries --renew, --wait and --abandon in its body', async () => {
    await quiesce(['freeze', '--renew', '--id', 'a', '--ttl', '1m']);
    await quiesce(['freeze', '--wait']);
    expect(control.freezes).toMatchObject([
      { id: 'a', renew: true, ttlMs: 60_000 },
      { wait: true },
    ]);
    const released = await quiesce(['thaw', '--abandon', '--id', 'a']);
    expect(released.code).toBe(0);
    expect(released.stdout).toMatch(/^released, abandoned; thawed: NOT consistent \(abandoned\)/);
    control.onAbandon = () => Promise.resolve({ released: false, receipt: null });
    const nothing = await quiesce(['thaw', '--abandon']);
    expect([nothing.code, nothing.stdout]).toEqual([
      0,
      'nothing released: no such freeze is held\n',
    ]);
    const json = await quiesce(['thaw', '--abandon', '-o', 'json']);
    expect([json.code, json.stdout]).toEqual([0, '{"released":false}\n']);
    expect(control.thaws).toEqual([]);
  });

  it('that comes after the success of another thaw does not look like a success', async () => {
    control.onThaw = () =>
      Promise.reject(
        new QuiesceError('ALREADY_THAWED', 'It was told.', { details: { receipt: consistent() } }),
      );
    const { code, stdout, stderr } = await quiesce(['thaw']);
    expect(code).toBe(7);
    expect(stdout).toMatch(/^thawed: NOT the success of this thaw/);
    expect(stderr).toContain('ALREADY_THAWED');
  });

  it('has a new key in each run, or the key that is given', async () => {
    for (const args of [
      ['freeze'],
      ['freeze'],
      ['thaw'],
      ['freeze', '--idempotency-key', 'mine'],
    ]) {
      await quiesce(args);
    }
    const keys = [...control.freezes, ...control.thaws].map(({ call }) => call?.key);
    expect(keys).toContain('mine');
    expect(new Set(keys).size).toBe(4);
  });

  it('is sent again with the same key if the connection breaks, until it is answered', async () => {
    const path = join(dir, 'breaks.sock');
    const seen: unknown[] = [];
    const server = createServer((request, response) => {
      seen.push(request.headers['idempotency-key']);
      if (seen.length === 1) request.socket.destroy();
      else if (seen.length === 2) response.destroy();
      else response.end(JSON.stringify(consistent()));
    }).listen(path);
    await once(server, 'listening');
    const { code, stdout } = await quiesce(['thaw'], { QUIESCE_SOCKET: path });
    expect([code, stdout.split(',')[0]]).toEqual([0, 'thawed: consistent']);
    expect(seen).toHaveLength(3);
    expect(new Set(seen).size).toBe(1);
    server.close();
  });

  it('survives a restart of the sidecar on the same path', async () => {
    const path = join(dir, 'again.sock');
    const first = createServer((request) => {
      first.close();
      request.socket.destroy();
    }).listen(path);
    await once(first, 'listening');
    const thaw = quiesce(['thaw'], { QUIESCE_SOCKET: path });
    await once(first, 'close');
    await new Promise((next) => setTimeout(next, 1_000));
    const second = createServer((_request, response) => {
      response.end(JSON.stringify(consistent()));
    }).listen(path);
    expect(await thaw).toMatchObject({ code: 0 });
    second.close();
  });
});

describe('the router', () => {
  it('prints help and the version', async () => {
    expect(await quiesce(['--version'])).toMatchObject({ code: 0, stdout: '0.1.0\n' });
    const help = await quiesce(['--help']);
    expect(help.code).toBe(0);
    for (const verb of ['freeze', 'thaw', 'status', 'metadata', 'receipts', 'verify']) {
      expect(help.stdout).toContain(`\n  ${verb} `);
      const own = await quiesce([verb, '--help']);
      expect([own.code, own.stderr]).toEqual([0, '']);
      expect(own.stdout).toContain(`Usage: quiesce ${verb}`);
    }
  });

  it.each([[[]], [['melt']], [['']], [['--freeze']], [['toString']], [['__proto__']]])(
    'exits 2 for the verb in %j',
    async (args) => {
      const { code, stdout, stderr } = await quiesce(args);
      expect([code, stdout]).toEqual([2, '']);
      expect(stderr).toMatch(/^quiesce: USAGE: .+ Hint: .+\n$/);
      const json = await quiesce([...args, '-o', 'json']);
      expect([json.code, json.stderr]).toEqual([2, '']);
      expect(JSON.parse(json.stdout)).toMatchObject({ error: { code: 'USAGE' } });
    },
  );

  it('suggests the closest verb or flag', async () => {
    const melt = await quiesce(['freze']);
    expect(melt.stderr).toContain('Did you mean freeze? quiesce --help lists the verbs.');
    const flag = await quiesce(['freeze', '--time-out', '5s', '-o', 'json']);
    expect(JSON.parse(flag.stdout)).toMatchObject({
      error: { code: 'USAGE', field: '--time-out', hint: expect.stringContaining('--timeout') },
    });
  });

  it('lists the demo only if it has a server to run', async () => {
    const here = await quiesce(['--help'], { PATH: '' });
    expect(here.stdout).toContain('\n  doctor ');
    expect(here.stdout).not.toContain('\n  demo ');
    const there = spawnSync(process.execPath, [join(root, 'dist/cli.js'), '--help']);
    expect(there.stdout.toString()).toMatch(/\n {2}demo .+--engine redis/);
  });
});
