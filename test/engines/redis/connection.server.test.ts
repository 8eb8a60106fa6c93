import { execFileSync } from 'node:child_process';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterEach, describe, expect, it } from 'vitest';
import type { Engine, FreezeContext } from '../../../src/engines/engine.ts';
import { createEngine } from '../../../src/engines/redis/index.ts';
import {
  changedSince,
  pauseOf,
  POLICIES,
  redisFolder,
  RedisServer,
  SERVERS,
  settingsOf,
} from '../../support/redis.ts';

const undo: (() => unknown)[] = [];

afterEach(async () => {
  for (const one of undo.splice(0).toReversed()) await one();
});

const soon = (): AbortSignal => AbortSignal.timeout(20_000);

async function startWithEngine(binary: string): Promise<{ server: RedisServer; engine: Engine }> {
  const { dir, remove } = await redisFolder();
  undo.push(remove);
  const server = await RedisServer.start({
    binary,
    dir: join(dir, 'data'),
    config: POLICIES['AOF everysec'],
  });
  undo.push(() => server.kill());
  const engine = createEngine({ settings: server.env(), dataDir: undefined });
  undo.push(() => engine.close());
  return { server, engine };
}

const context: FreezeContext = {
  id: 'direct',
  copy: 'snapshot',
  ttlMs: 30_000,
  progress: () => undefined,
  keep: () => Promise.resolve(),
  remember: () => Promise.resolve(),
};

describe.each(SERVERS)('%s', (binary) => {
  it('a hold that is aborted while the server hangs leaves neither a pause nor a changed setting', async () => {
    const { server, engine } = await startWithEngine(binary);
    const before = await settingsOf(server);
    const abort = new AbortController();
    // The server executes what is sent from here on after the abort.
    let hangs = false;
    const remember = async (): Promise<void> => {
      if (!hangs) await server.signal('SIGSTOP');
      hangs = true;
    };
    const hanging = { ...context, remember };
    await engine.prepare(hanging, soon());
    const hold = engine.hold(hanging, abort.signal);
    hold.catch(() => undefined);
    await sleep(300);
    abort.abort(new Error('given up'));
    await sleep(300);
    await server.signal('SIGCONT');
    await expect(hold).rejects.toMatchObject({ code: 'ENGINE_UNREACHABLE' });
    expect(await changedSince(server, before)).toEqual([]);
    expect(await pauseOf(server)).toEqual([]);
  });

  it('a connection that was just cut is reopened, and the hold is proven and released', async () => {
    const { server, engine } = await startWithEngine(binary);
    const before = await settingsOf(server);
    await engine.prepare(context, soon());
    const hold = await engine.hold(context, soon());
    cutUnseen(server);
    await hold.renew?.(30_000, soon());
    cutUnseen(server);
    expect(await hold.check(soon())).toEqual([]);
    cutUnseen(server);
    await hold.release(soon());
    expect(await changedSince(server, before)).toEqual([]);
    expect(await pauseOf(server)).toEqual([]);
  });

  it('a server that was just killed is reported as lost', async () => {
    const { server, engine } = await startWithEngine(binary);
    await engine.prepare(context, soon());
    const hold = await engine.hold(context, soon());
    execFileSync('sh', ['-c', `kill -9 ${server.pid}; sleep 0.3`]);
    expect(await hold.check(soon())).toMatchObject([{ code: 'server-lost' }]);
    await hold.release(soon());
  });
});

/** Ends all connections while this process is blocked and cannot notice it. */
function cutUnseen({ options, port }: RedisServer): void {
  const client = options.binary.replace(/-server$/, '-cli');
  execFileSync(client, ['-p', String(port), 'CLIENT', 'KILL', 'TYPE', 'normal']);
}
