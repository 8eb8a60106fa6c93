import { mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterEach, describe, expect, it } from 'vitest';
import { type Evidence, wereReset } from '../../../src/engines/redis/freeze/commands.ts';
import type { Receipt } from '../../../src/receipt/receipt.ts';
import { redisFolder, RedisServer, SERVERS } from '../../support/redis.ts';
import { TestSidecar } from '../../support/sidecar.ts';

const undo: (() => unknown)[] = [];
afterEach(async () => {
  for (const one of undo.splice(0).toReversed()) await one();
});

const RDB = ['appendonly no', 'save 3600 1'];
const AOF = ['appendonly yes', 'save ""'];

async function setup(binary: string, config: readonly string[], mounted: boolean) {
  const { dir, remove } = await redisFolder();
  undo.push(remove);
  // Before 7.0 DEBUG is always enabled, and the setting is unknown.
  const debug = ['enable-debug-command yes'];
  const options = { binary, dir: join(dir, 'data') };
  const server = await RedisServer.start({ ...options, config: [...config, ...debug] }).catch(() =>
    RedisServer.start({ ...options, config }),
  );
  undo.push(() => server.kill());
  for (let key = 0; key < 20; key += 1) await server.admin.set(`key:${key}`, 'value');
  await mkdir(join(dir, 'q'));
  const sidecar = new TestSidecar(join(dir, 'q'), {
    ...server.env(),
    ...(mounted ? { QUIESCE_DATA_DIR: join(dir, 'data') } : {}),
  });
  undo.push(() => sidecar.signal('SIGKILL'));
  await sidecar.start();
  return { server, sidecar };
}

/** Waits for the beginning of a second, so that everything that follows is within that second. */
async function atSecond(): Promise<void> {
  await sleep(1_005 - (Date.now() % 1_000));
}

/** Freezes, runs the commands, and thaws, all within one second of the server's clock. */
async function withinOneSecond(
  { server, sidecar }: Awaited<ReturnType<typeof setup>>,
  commands: readonly (readonly string[])[],
): Promise<Receipt> {
  for (let attempt = 0; attempt < 10; attempt += 1) {
    await atSecond();
    const id = `n${attempt}`;
    expect((await sidecar.api('POST', '/v1/freeze', { id })).body).toMatchObject({
      verdict: 'held',
    });
    const saved = await server.info('rdb_last_save_time');
    for (const [command = '', ...args] of commands) await server.admin.call(command, ...args);
    const same = (await server.info('rdb_last_save_time')) === saved;
    const { body } = await sidecar.api('POST', '/v1/thaw', { id });
    const receipt = (body.receipt ?? body) as Receipt;
    if (same) return receipt;
  }
  throw new Error('no hold was within one second');
}

describe.each(SERVERS)('%s', (binary) => {
  describe.each([
    ['its volume mounted', true],
    ['its volume out of sight', false],
  ])('with %s, within the second of the freeze', (_where, mounted) => {
    it.each([
      ['DEBUG RELOAD, RDB only', RDB, [['DEBUG', 'RELOAD']], 'data-reloaded'],
      ['DEBUG RELOAD NOSAVE, RDB only', RDB, [['DEBUG', 'RELOAD', 'NOSAVE']], 'data-reloaded'],
      ['DEBUG LOADAOF, with an AOF', AOF, [['DEBUG', 'LOADAOF']], 'data-reloaded'],
      ['SAVE, RDB only', RDB, [['SAVE']], 'saved-during-hold'],
      [
        'FLUSHALL between an UNPAUSE and a PAUSE, RDB only',
        RDB,
        [['CLIENT', 'UNPAUSE'], ['FLUSHALL'], ['CLIENT', 'PAUSE', '60000', 'WRITE']],
        'saved-during-hold',
      ],
      [
        'a write that is saved immediately, RDB only',
        RDB,
        [
          ['CLIENT', 'UNPAUSE'],
          ['SET', 'key:1', 'other'],
          ['SAVE'],
          ['CLIENT', 'PAUSE', '60000', 'WRITE'],
        ],
        'saved-during-hold',
      ],
      [
        'SWAPDB between an UNPAUSE and a PAUSE, RDB only',
        RDB,
        [
          ['CLIENT', 'UNPAUSE'],
          ['SWAPDB', '0', '1'],
          ['CLIENT', 'PAUSE', '60000', 'WRITE'],
        ],
        'writes-went-in',
      ],
      ['CONFIG RESETSTAT', RDB, [['CONFIG', 'RESETSTAT']], 'counters-reset'],
    ])('%s is detected', async (_name, config, commands, reason) => {
      const found = await withinOneSecond(await setup(binary, config, mounted), commands);
      expect(found).toMatchObject({ verdict: 'inconsistent' });
      expect(found.reasons).toContain(reason);
    });

    it.each([
      ['RDB only', RDB],
      ['an AOF', AOF],
    ])('reads and INFO do not affect the verdict, with %s', async (_name, config) => {
      const found = await withinOneSecond(await setup(binary, config, mounted), [
        ['GET', 'key:1'],
        ['INFO', 'everything'],
        ['CONFIG', 'GET', '*'],
        ['MEMORY', 'USAGE', 'key:1'],
        ['DBSIZE'],
      ]);
      expect(found).toMatchObject({ verdict: 'consistent', reasons: [] });
    });
  });

  it('counters reset before the hold are distinguished from counters reset during it', async () => {
    const rig = await setup(binary, RDB, true);
    await rig.server.admin.call('CONFIG', 'RESETSTAT');
    expect(await withinOneSecond(rig, [['GET', 'key:1']])).toMatchObject({ verdict: 'consistent' });
    expect(await withinOneSecond(rig, [['CONFIG', 'RESETSTAT']])).toMatchObject({
      verdict: 'inconsistent',
      reasons: ['counters-reset'],
    });
  });
});

it('a count that fell shows a reset, whatever was counted since', () => {
  const with_ = (counts: Record<string, number>): Evidence =>
    ({ commands: new Map(Object.entries(counts)) }) as unknown as Evidence;
  const then = with_({ info: 40, get: 7, 'config|resetstat': 1 });
  expect(wereReset(then, with_({ info: 50, get: 7, 'config|resetstat': 1 }))).toBe(false);
  expect(wereReset(then, with_({ info: 50, 'config|resetstat': 1 }))).toBe(true);
});
