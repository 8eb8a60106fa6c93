import { cp, mkdir, readFile, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { runCli } from '../../../src/testbed/processes.ts';
import { aclLine, redisFolder, RedisServer, USER } from '../../support/redis.ts';
import { TestSidecar } from '../../support/sidecar.ts';

/* A server with a secret wherever Redis keeps one; its copy is restored by a server without the users. */
let dir: string;
let remove: () => Promise<void>;
const servers: RedisServer[] = [];
const sidecars: TestSidecar[] = [];

beforeEach(async () => {
  ({ dir, remove } = await redisFolder());
});
afterEach(async () => {
  for (const sidecar of sidecars.splice(0)) await sidecar.signal('SIGKILL');
  for (const server of servers.splice(0)) await server.kill();
  await remove();
});

async function start(folder: string, config: readonly string[]): Promise<TestSidecar> {
  const acl = await aclLine();
  const server = await RedisServer.start({
    binary: 'redis-server',
    dir: join(dir, folder),
    config: ['appendonly yes', 'save ""', acl, ...config],
  });
  servers.push(server);
  await mkdir(join(dir, `q-${folder}`));
  const env = { ...server.env(USER), QUIESCE_DATA_DIR: join(dir, folder) };
  const sidecar = await new TestSidecar(join(dir, `q-${folder}`), env).start();
  sidecars.push(sidecar);
  return sidecar;
}

it('travels with the copy, without passwords, and tells what the restored server lacks', async () => {
  const sidecar = await start('data', [
    'user ann on >hush-password ~app:* +@all',
    'user bob on #e7cf3ef4f17c3999a94f2c6f612e8a888e5b1026878e4e19398b23bd38ec221a +@all',
    'masterauth hush-master',
    'maxmemory 1gb',
  ]);
  await servers[0]?.admin.set('key', 'hush-value');
  const frozen = await sidecar.cli('freeze', '--id', 'meta');
  expect(frozen.code, frozen.stderr).toBe(0);
  const text = await readFile(join(dir, 'data/.quiesce/metadata.json'), 'utf8');
  expect(text).not.toMatch(/hush|e7cf3ef4|masterauth/);
  expect(JSON.parse(text)).toMatchObject({
    engine: 'redis',
    absent: [],
    metadata: {
      server: { flavor: 'redis', architecture: 'x86_64' },
      databases: { db0: { keys: 1, expires: 0 } },
      settings: { maxmemory: '1073741824' },
    },
  });
  await cp(join(dir, 'data'), join(dir, 'copy'), { recursive: true, preserveTimestamps: true });
  expect((await sidecar.cli('thaw', '--id', 'meta')).code).toBe(0);

  const shown = await runCli(['metadata', '--data', join(dir, 'copy')], {});
  expect(shown.stdout).toMatch(/^redis on x86_64, freeze meta, 20/);
  expect(shown.stdout).toMatch(/users \(3; 1 of the server's own are left out, --all shows them\)/);
  expect(shown.stdout).toMatch(/^ {2}ann +1 +on ~app:\* /m);
  expect(shown.stdout).toMatch(/^ {2}maxmemory +1 GiB$/m);
  expect(shown.stdout).not.toMatch(/^ {2}default /m);

  expect((await runCli(['prepare-restore', '--data', join(dir, 'copy')], {})).code).toBe(0);
  const restored = await start('copy', ['maxmemory-policy allkeys-lru']);
  await expect
    .poll(async () => (await restored.status()).restore?.verified, { timeout: 15_000 })
    .not.toBeNull();
  const { restore } = await restored.status();
  const differences = restore?.differences ?? [];
  const found = differences.map(({ kind, what, was, is }) => [kind, what, was, is]);
  expect(found).toContainEqual(['user', 'ann', 'there', null]);
  expect(found).toContainEqual(['setting', 'maxmemory', '1073741824', '(default)']);
  expect(found).toContainEqual(['setting', 'maxmemory-policy', '(default)', 'allkeys-lru']);
  expect(JSON.stringify(found)).not.toContain('hush');
});

it('says why it cannot be shown: none there, damaged, not of the kind', async () => {
  const folder = join(dir, 'broken');
  const show = () => runCli(['metadata', '--data', folder], {});
  expect(await show()).toMatchObject({ code: 2, stderr: expect.stringMatching(/is not a folder/) });
  await mkdir(folder);
  expect(await show()).toMatchObject({
    code: 7,
    stderr: expect.stringMatching(/METADATA_NOT_FOUND: .* has no metadata\.json\. Hint: /),
  });
  const path = join(folder, '.quiesce/metadata.json');
  await mkdir(join(folder, '.quiesce'));
  for (const [content, why] of [
    ['{', /it is not JSON/],
    ['{"apiVersion":"quiesce.dev/v1","kind":"Receipt"}', /its kind is not Metadata/],
    ['[]', /its apiVersion/],
  ] as const) {
    await writeFile(path, content);
    expect(await show()).toMatchObject({ code: 7, stderr: expect.stringMatching(why) });
  }
  await rm(path);
  await mkdir(path);
  expect(await show()).toMatchObject({
    code: 7,
    stderr: expect.stringMatching(/METADATA_INVALID/),
  });
});
