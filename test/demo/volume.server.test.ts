import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, readFile, rm, stat, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterEach, describe, expect, it } from 'vitest';
import { verifyLedger } from '../../src/testbed/postgres/ledger.ts';
import { WriterLoad } from '../../src/testbed/postgres/load.ts';
import { fingerprint, isAlive, listProcesses } from '../../src/testbed/os.ts';
import { makeVolume } from '../../src/testbed/volume/make-volume.ts';
import type { VolumeKind } from '../../src/testbed/volume/volume.ts';
import { serverAt, tempDir, withClient } from './server.ts';

const cleanups: (() => Promise<unknown>)[] = [];
afterEach(async () => {
  for (const cleanup of cleanups.splice(0).toReversed()) await cleanup();
});

async function folder(): Promise<string> {
  const { dir, remove } = await tempDir();
  cleanups.push(remove);
  return dir;
}

const mounts = () => readFile('/proc/self/mounts', 'utf8').catch(() => '');

/** The kinds of volume that this machine can make. */
async function kinds(): Promise<VolumeKind[]> {
  const dir = await mkdtemp(join(tmpdir(), 'qdemo-'));
  const volume = await makeVolume(dir);
  await volume.dispose();
  await rm(dir, { recursive: true });
  return volume.kind === 'btrfs' ? ['btrfs', 'stopped-copy'] : ['stopped-copy'];
}

describe.each(await kinds())('a %s volume', (kind) => {
  it('copies a server under load so that the copy starts with every acknowledged commit', async () => {
    const dir = await folder();
    let pid: number | undefined;
    const volume = await makeVolume(dir, { kind, postmaster: () => pid });
    cleanups.push(() => volume.dispose());
    const server = await serverAt(join(volume.path, 'pgdata'), join(dir, 's'));
    await server.initdb();
    await server.start();
    cleanups.push(() => server.stop('immediate'));
    pid = server.pid;
    const load = new WriterLoad({ connection: server.superuser() });
    await load.prepare();
    await load.start();
    await sleep(500);
    const acked = load.snapshotAcked();
    const copy = await volume.snapshot('copy');
    await sleep(200);
    await load.stop();
    expect(copy.how).toMatch(
      kind === 'btrfs' ? /atomic/ : /process was stopped|processes were stopped/,
    );
    expect(copy.stalledMs > 0).toBe(kind === 'stopped-copy');
    expect(load.errors).toEqual([]);

    const [live, copied] = await Promise.all(
      [volume.path, copy.path].map((path) => stat(join(path, 'pgdata/PG_VERSION'))),
    );
    expect([copied?.uid, copied?.gid, copied?.mode]).toEqual([live?.uid, live?.gid, live?.mode]);
    await rm(join(copy.path, 'pgdata/postmaster.pid'));
    const second = await serverAt(join(copy.path, 'pgdata'), join(dir, 't'));
    await second.start();
    cleanups.push(() => second.stop('immediate'));
    const report = await withClient(second, (client) => verifyLedger(client, acked));
    expect(report.checks.filter(({ ok }) => !ok)).toEqual([]);
  });

  it('leaves no mount and no file behind', async () => {
    const dir = await folder();
    const volume = await makeVolume(dir, { kind });
    await writeFile(join(volume.path, 'a'), '1');
    await volume.snapshot('copy');
    await volume.dispose();
    await volume.dispose();
    expect(await mounts()).not.toContain(dir);
    await expect(stat(volume.path)).rejects.toThrow('ENOENT');
  });
});

describe('a stopped copy', () => {
  it('is refused if the server does not run', async () => {
    const dir = await folder();
    const volume = await makeVolume(dir, { kind: 'stopped-copy', postmaster: () => 4_190_000 });
    await expect(volume.snapshot('copy')).rejects.toThrow(
      'the server process 4190000 does not run',
    );
  });

  it('stops grandchildren too, then resumes all processes', async () => {
    const dir = await folder();
    const parent = spawn('sh', ['-c', 'sh -c "sleep 60; true" & wait'], {
      stdio: 'ignore',
      detached: true,
    });
    const ended = once(parent, 'exit');
    await sleep(100);
    const volume = await makeVolume(dir, { kind: 'stopped-copy', postmaster: () => parent.pid });
    const copy = await volume.snapshot('copy');
    expect(copy.how).toContain('3 server processes were stopped');
    const resumed = (await listProcesses()).filter(({ pid }) => pid === parent.pid);
    expect(resumed.map(({ state }) => state)).not.toContain('T');
    process.kill(-Number(parent.pid), 'SIGKILL');
    await ended;
  });
});

describe('a fingerprint', () => {
  it('tells a process from a later one with the same id', async () => {
    const print = await fingerprint(process.pid);
    expect(await isAlive(print)).toBe(true);
    expect(await isAlive(`${process.pid} 1`)).toBe(false);
    expect(await isAlive(await fingerprint(4_190_000))).toBe(false);
  });
});

describe('a mount left behind by a killed process', () => {
  it('is removed when the next volume is made, while the mount of a running process stays', async () => {
    const [first] = await kinds();
    const [stale, living] = [await folder(), await folder()];
    if (first !== 'btrfs') {
      // The stand-in mounts nothing that could be left behind.
      await makeVolume(stale);
      expect(await mounts()).not.toContain(stale);
      return;
    }
    const other = await makeVolume(living, { kind: 'btrfs' });
    cleanups.push(() => other.dispose());
    const left = await makeVolume(stale, { kind: 'btrfs' });
    cleanups.push(() => left.dispose());
    await writeFile(join(stale, 'quiesce-volume.owner'), '4190000 gone');
    const next = await makeVolume(await folder());
    cleanups.push(() => next.dispose());
    expect(await mounts()).not.toContain(stale);
    expect(await mounts()).toContain(living);
    await expect(stat(join(stale, 'quiesce-volume.img'))).rejects.toThrow('ENOENT');
  });
});
