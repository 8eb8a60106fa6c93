import { randomBytes } from 'node:crypto';
import {
  cp,
  mkdir,
  open,
  readdir,
  readFile,
  rm,
  stat,
  truncate,
  writeFile,
} from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { runCli } from '../../../src/testbed/processes.ts';
import { redisFolder, RedisServer, SERVERS } from '../../support/redis.ts';
import { TestSidecar } from '../../support/sidecar.ts';

const PERSISTENCE = {
  AOF: ['appendonly yes', 'save ""'],
  'RDB only': ['appendonly no', 'save 3600 1'],
  'RDB without a checksum': ['appendonly no', 'save 3600 1', 'rdbchecksum no'],
} as const;
type Persistence = keyof typeof PERSISTENCE;

/** Overwrites a part of a file with zeroes. */
async function hole(path: string, from: number, length: number): Promise<void> {
  const file = await open(path, 'r+');
  await file.write(Buffer.alloc(length), 0, length, from);
  await file.close();
}

describe.each(SERVERS)('a copy of %s', (binary) => {
  describe.each(Object.keys(PERSISTENCE) as Persistence[])('with %s', (persistence) => {
    let dir: string;
    let pristine: string;
    let count = 0;
    const undo: (() => unknown)[] = [];

    beforeAll(async () => {
      const folder = await redisFolder();
      dir = folder.dir;
      undo.push(folder.remove);
      const data = join(dir, 'data');
      const config = PERSISTENCE[persistence];
      const server = await RedisServer.start({ binary, dir: data, config });
      undo.push(() => server.kill());
      for (let key = 0; key < 60; key += 1)
        await server.admin.set(`base:${key}`, randomBytes(10_000));
      if (persistence === 'AOF') {
        await server.admin.bgrewriteaof();
        while ((await server.info('aof_rewrite_in_progress')) !== '0') await sleep(20);
      }
      for (let key = 0; key < 60; key += 1)
        await server.admin.set(`incr:${key}`, randomBytes(10_000));
      await mkdir(join(dir, 'q'));
      const env = { ...server.env(), QUIESCE_DATA_DIR: data };
      const sidecar = await new TestSidecar(join(dir, 'q'), env).start();
      undo.push(() => sidecar.stop());
      expect((await sidecar.api('POST', '/v1/freeze', { id: 'f' })).body.verdict).toBe('held');
      pristine = join(dir, 'pristine');
      await cp(data, pristine, { recursive: true });
      expect((await sidecar.api('POST', '/v1/thaw', { id: 'f' })).status).toBe(200);
    });
    afterAll(async () => {
      for (const one of undo.splice(0).toReversed()) await one();
    });
    afterEach(() => rm(join(dir, `copy${count}`), { recursive: true, force: true }));

    async function copy(): Promise<string> {
      count += 1;
      const path = join(dir, `copy${count}`);
      await cp(pristine, path, { recursive: true });
      return path;
    }

    /** The largest files, which hold the values. */
    async function filesOf(path: string): Promise<string[]> {
      const names = await readdir(path, { recursive: true });
      return names.filter((name) => /\.aof$|\.rdb$/.test(name) && !name.startsWith('.')).toSorted();
    }

    async function prepare(path: string) {
      const done = await runCli(['prepare-restore', '--data', path, '-o', 'json'], {});
      return { code: done.code, body: JSON.parse(done.stdout) as Record<string, unknown> };
    }

    async function refuses(path: string): Promise<void> {
      const done = await prepare(path);
      expect(done, JSON.stringify(done.body)).toMatchObject({ code: 7 });
    }

    /** A receipt of an earlier release has no digest of the whole file. */
    async function forgetDigests(path: string): Promise<void> {
      const file = join(path, '.quiesce/receipt.json');
      const text = (await readFile(file, 'utf8')).replaceAll(/,\s*"sha256": "[0-9a-f]+"/g, '');
      await writeFile(file, text);
    }

    it('is prepared if nothing is damaged', async () => {
      const path = await copy();
      expect(await prepare(path)).toMatchObject({ code: 0, body: { proof: { framed: 0 } } });
    });

    it.each([
      ['zeroes in the middle', 0.5, 8_192],
      ['zeroes within one value', 0.5, 16],
      ['zeroes at a third', 0.33, 100_000],
    ])('is refused with %s of any file', async (_what, part, length) => {
      for (const name of await filesOf(pristine)) {
        const path = await copy();
        const at = join(path, name);
        await hole(at, Math.floor((await stat(at)).size * part), length);
        await refuses(path);
      }
    });

    it.each([1, 9, 70_000])('is refused where a file lacks its last %i bytes', async (missing) => {
      for (const name of await filesOf(pristine)) {
        const path = await copy();
        const { size } = await stat(join(path, name));
        await truncate(join(path, name), size - missing);
        await refuses(path);
      }
    });

    it('is refused where a file ends in zeroes, is missing, or is longer', async () => {
      for (const name of await filesOf(pristine)) {
        const zeroes = await copy();
        const { size } = await stat(join(zeroes, name));
        await hole(join(zeroes, name), size - 20, 20);
        await refuses(zeroes);
        const missing = await copy();
        await rm(join(missing, name));
        await refuses(missing);
        const longer = await copy();
        await hole(join(longer, name), size, 20);
        await refuses(longer);
      }
    });

    it('is refused with one changed byte of any file', async () => {
      for (const name of await filesOf(pristine)) {
        const path = await copy();
        const bytes = await readFile(join(path, name));
        const at = Math.floor(bytes.length * 0.6);
        bytes[at] = (bytes[at] ?? 0) ^ 0x10;
        await writeFile(join(path, name), bytes);
        await refuses(path);
      }
    });

    it('made by an earlier release is refused where its own checksum or form shows damage', async () => {
      const whole = await copy();
      await forgetDigests(whole);
      const framed = persistence === 'RDB only' ? 0 : 1;
      expect(await prepare(whole)).toMatchObject({ code: 0, body: { proof: { framed } } });
      if (persistence === 'RDB without a checksum') return;
      for (const name of await filesOf(pristine)) {
        const path = await copy();
        await forgetDigests(path);
        // Longer than a value, so that it also covers the frame of a command.
        await hole(join(path, name), 300_000, 20_000);
        await refuses(path);
      }
    });
  });
});
