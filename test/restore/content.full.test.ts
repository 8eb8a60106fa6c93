import { existsSync } from 'node:fs';
import { open, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterEach, describe, expect, it } from 'vitest';
import { makeTempDir, startServer, type TestServer } from '../support/postgres.ts';
import { TestSidecar } from '../support/sidecar.ts';

const undo: (() => unknown)[] = [];
afterEach(async () => {
  for (const one of undo.splice(0).toReversed()) await one();
});

const SOON = { timeout: 60_000 };

async function sidecarOn(server: TestServer, env: Record<string, string>): Promise<TestSidecar> {
  const dir = await makeTempDir();
  undo.push(() => rm(dir, { recursive: true, force: true }));
  const sidecar = new TestSidecar(dir, { ...server.roleEnv, QUIESCE_DATA_DIR: server.dir, ...env });
  undo.push(() => sidecar.signal('SIGKILL'));
  return await sidecar.start();
}

async function allowAmcheck(server: TestServer): Promise<void> {
  const client = await server.connect('postgres');
  await client.query('CREATE EXTENSION amcheck');
  await client.query('GRANT EXECUTE ON ALL FUNCTIONS IN SCHEMA public TO quiesce');
}

/** Leaves the volume as a copy has it: stopped and started again, with the receipt of a freeze. */
async function makeRestored(
  server: TestServer,
  damage: () => Promise<void> = () => Promise.resolve(),
): Promise<string> {
  const source = await sidecarOn(server, {});
  const frozen = await source.cli('freeze', '--id', 'b-1', '-o', 'json');
  expect(frozen, frozen.stderr).toMatchObject({ code: 0 });
  expect(await source.cli('thaw', '--id', 'b-1')).toMatchObject({ code: 0 });
  await source.stop();
  await server.server.stop();
  await damage();
  await writeFile(join(server.dir, '.quiesce/receipt.json'), frozen.stdout);
  await server.server.start();
  await server.reconnect();
  return frozen.stdout;
}

async function serverWithTable(): Promise<{ server: TestServer; index: string }> {
  const server = await startServer({ major: 17 });
  undo.push(() => server.stop());
  await server.admin.query('CREATE TABLE victim (n int PRIMARY KEY)');
  await server.admin.query('INSERT INTO victim SELECT generate_series(1, 5000)');
  const { rows } = await server.admin.query<{ path: string }>(
    `SELECT pg_relation_filepath('victim_pkey') AS path`,
  );
  return { server, index: join(server.dataDir, rows[0]?.path ?? '') };
}

const CONTENT = { QUIESCE_RESTORE_MARK: 'r-1', QUIESCE_RESTORE_CHECK: 'content' };

describe('the deep check of a restored PostgreSQL', () => {
  it('raises a sound copy to content; without its grant it says that it could not look', async () => {
    const { server } = await serverWithTable();
    const receipt = await makeRestored(server);
    const first = await sidecarOn(server, CONTENT);
    const view = async (of: TestSidecar) => (await of.status()).restore;
    await expect
      .poll(() => view(first), SOON)
      .toMatchObject({ level: 'position', verified: true, content: { state: 'unchecked' } });
    expect((await view(first))?.content?.message).toContain('CREATE EXTENSION amcheck;');
    expect((await first.cli('status')).stdout).toContain('Level: position (content unchecked)');
    const deep = await first.cli('verify', '--deep');
    expect(deep).toMatchObject({ code: 7 });
    expect(deep.stdout).toMatch(/could not look: .*; level position \(content unchecked\)/);
    expect(deep.stderr).toContain('level position');
    await first.stop();
    await allowAmcheck(server);
    await writeFile(join(server.dir, '.quiesce/receipt.json'), receipt);
    const second = await sidecarOn(server, { ...CONTENT, QUIESCE_RESTORE_MARK: 'r-2' });
    await expect
      .poll(() => view(second), SOON)
      .toMatchObject({ level: 'content', verified: true, content: { state: 'passed' } });
    expect(await second.metrics()).toMatch(/restore_verified\{[^}]*level="content"\} 1/);
    expect((await second.cli('verify', '--deep')).stdout).toContain('; level content');
  });

  it('finds a damaged index, which the position does not show, and lets a freeze come first', async () => {
    const { server, index } = await serverWithTable();
    await allowAmcheck(server);
    await makeRestored(server, async () => {
      const file = await open(index, 'r+');
      await file.write(Buffer.alloc(4_000, 0x5a), 0, 4_000, 8_192 + 4_000);
      await file.close();
    });
    const sidecar = await sidecarOn(server, CONTENT);
    expect(await sidecar.cli('freeze', '--id', 'next')).toMatchObject({ code: 0 });
    expect(await sidecar.cli('thaw', '--id', 'next')).toMatchObject({ code: 0 });
    await expect
      .poll(async () => (await sidecar.status()).restore, SOON)
      .toMatchObject({ level: 'position', verified: false, content: { state: 'failed' } });
    expect((await sidecar.status()).restore?.content?.message).toContain('victim_pkey');
    expect(await sidecar.metrics()).toMatch(/restore_verified\{[^}]*level="content"\} 0/);
    expect(existsSync(join(server.dir, '.quiesce/restored-b-1.json'))).toBe(true);
  });
});
