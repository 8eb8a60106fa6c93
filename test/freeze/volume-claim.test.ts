import { execFileSync, spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, readdirSync } from 'node:fs';
import { mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { pino } from 'pino';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { ReceiptVolume } from '../../src/receipt/volume.ts';
import { VolumeClaim } from '../../src/receipt/volume-claim.ts';

let root: string;
let data: string;
const claims: VolumeClaim[] = [];

beforeEach(async () => {
  root = await mkdtemp(join(tmpdir(), 'quiesce-claim-'));
  data = join(root, 'data');
  await mkdir(join(data, 'lost+found'), { recursive: true });
  await writeFile(join(data, 'PG_VERSION'), '17\n');
});
afterEach(async () => {
  for (const claim of claims.splice(0)) await claim.close();
  await rm(root, { recursive: true, force: true });
});

function claimOf(dataDir: string | undefined): VolumeClaim & { volume: ReceiptVolume } {
  const volume = new ReceiptVolume(dataDir);
  const claim = new VolumeClaim(volume, pino({ level: 'silent' }));
  claims.push(claim);
  return Object.assign(claim, { volume });
}

/** Starts another process that holds the lock, as the sidecar of another pod does. */
async function lockElsewhere(dataDir: string) {
  const script = `
    const { openSync } = require('node:fs');
    const { tryLock } = require('fs-native-extensions');
    const file = openSync(process.argv[1], 'r+');
    console.log(tryLock(file));
    setInterval(() => file, 1_000);
  `;
  const child = spawn(process.execPath, ['-e', script, join(dataDir, '.quiesce/claim')], {
    cwd: resolve(import.meta.dirname, '../..'),
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  expect(String((await once(child.stdout, 'data'))[0])).toBe('true\n');
  return child;
}

describe('a volume', () => {
  it('is claimed by one sidecar; another one waits, changes nothing, and then takes over', async () => {
    const first = claimOf(data);
    await first.require();
    await first.volume.keep({ label: 'x' });
    const second = claimOf(data);
    let ours = 0;
    await second.whenOurs(async () => void (ours += 1));
    await expect(second.require()).rejects.toMatchObject({ code: 'VOLUME_IN_USE' });
    expect([second.inUse, ours]).toEqual([true, 0]);
    const before = readdirSync(join(data, '.quiesce'));
    expect(await second.volume.clear(null)).toBeNull();
    expect(readdirSync(join(data, '.quiesce'))).toEqual(before);

    await first.close();
    await second.require();
    expect([second.inUse, second.volume.handsOff, ours]).toEqual([false, false, 1]);
    await second.require();
    expect(ours).toBe(1);
    await expect(first.require()).rejects.toMatchObject({ code: 'VOLUME_IN_USE' });
  });

  it('stays claimed by a stopped process, and is free once it is killed', async () => {
    const claim = claimOf(data);
    await claim.require();
    await claim.close();
    const child = await lockElsewhere(data);
    await expect(claim.require()).rejects.toMatchObject({ code: 'VOLUME_IN_USE' });
    child.kill('SIGSTOP');
    await expect(claim.require(true)).rejects.toMatchObject({ code: 'VOLUME_IN_USE' });
    child.kill('SIGKILL');
    await once(child, 'exit');
    await claim.require();
  });

  it('is free in a copy of a claimed volume', async () => {
    await claimOf(data).require();
    execFileSync('cp', ['-a', data, join(root, 'copy')]);
    await expect(claimOf(join(root, 'copy')).require()).resolves.toBeUndefined();
  });

  it('stays empty until the first freeze: initdb refuses a folder that is not', async () => {
    await rm(join(data, 'PG_VERSION'));
    const claim = claimOf(data);
    await claim.require();
    expect(readdirSync(data)).toEqual(['lost+found']);
    await claim.require(true);
    expect(await readFile(join(data, '.quiesce/claim'), 'utf8')).toBe('');
    await expect(claimOf(data).require()).rejects.toMatchObject({ code: 'VOLUME_IN_USE' });
  });

  it('is claimed again after the folder was removed', async () => {
    const claim = claimOf(data);
    await claim.require();
    await rm(join(data, '.quiesce'), { recursive: true });
    await claim.require();
    expect(existsSync(join(data, '.quiesce/claim'))).toBe(true);
    await expect(claimOf(data).require()).rejects.toMatchObject({ code: 'VOLUME_IN_USE' });
  });

  it('stops no freeze where it is not mounted or not writable', async () => {
    await expect(claimOf(undefined).require(true)).resolves.toBeUndefined();
    await expect(claimOf(join(root, 'missing')).require(true)).resolves.toBeUndefined();
    await writeFile(join(data, '.quiesce'), 'a file in the way');
    await expect(claimOf(data).require(true)).resolves.toBeUndefined();
  });
});
