import { execFile, spawn } from 'node:child_process';
import { once } from 'node:events';
import { chmod, mkdir, mkdtemp, rm, stat, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { buildControlApp } from '../src/http/app.ts';
import { createLogger } from '../src/logger.ts';
import { claimSocket, listenOnSocket } from '../src/sidecar/control-socket.ts';
import { FakeControl } from './support/fake-control.ts';

const logger = createLogger({ level: 'silent' });
const newApp = () => buildControlApp({ control: new FakeControl(), transport: 'socket', logger });
let dir: string;

beforeEach(async () => {
  dir = await mkdtemp(join(tmpdir(), 'quiesce-sockets-'));
  await chmod(dir, 0o755);
});
afterEach(() => rm(dir, { recursive: true, force: true }));

/** Leaves a dead socket: a process listens on it and is killed. */
async function deadSocket(path: string): Promise<void> {
  const script = `require('net').createServer().listen(${JSON.stringify(path)},()=>console.log(1))`;
  const child = spawn(process.execPath, ['-e', script], { stdio: ['ignore', 'pipe', 'ignore'] });
  await once(child.stdout, 'data');
  child.kill('SIGKILL');
  await once(child, 'exit');
}

describe('claimSocket', () => {
  it('creates a missing directory that other users cannot enter', async () => {
    const path = join(dir, 'a/b/control.sock');
    await claimSocket(path);
    expect((await stat(join(dir, 'a/b'))).mode & 0o777).toBe(0o700);
  });

  it('removes a dead socket', async () => {
    const path = join(dir, 's');
    await deadSocket(path);
    expect((await stat(path)).isSocket()).toBe(true);
    await claimSocket(path);
    await expect(stat(path)).rejects.toMatchObject({ code: 'ENOENT' });
  });

  it('keeps a socket that a process listens on', async () => {
    const path = join(dir, 's');
    const app = newApp();
    await claimSocket(path);
    await listenOnSocket(app, path);
    await expect(claimSocket(path)).rejects.toMatchObject({ code: 'SOCKET_IN_USE', exit: 2 });
    await expect(listenOnSocket(newApp(), path)).rejects.toMatchObject({ code: 'SOCKET_IN_USE' });
    expect((await stat(path)).isSocket()).toBe(true);
    await app.close();
    await expect(stat(path)).rejects.toMatchObject({ code: 'ENOENT' });
  });

  it.each([
    ['a regular file', (path: string) => writeFile(path, 'precious')],
    ['a directory', (path: string) => mkdir(path)],
    ['a symbolic link', (path: string) => symlink('/dev/null', path)],
  ])('never removes %s', async (_name, make) => {
    const path = join(dir, 's');
    await make(path);
    await expect(claimSocket(path)).rejects.toMatchObject({
      code: 'SOCKET_UNUSABLE',
      field: 'QUIESCE_SOCKET',
    });
    await stat(path);
  });

  it.each([
    ['relative', 'control.sock'],
    ['too long', `/tmp/${'x'.repeat(103)}`],
    ['under a file', '/etc/hostname/control.sock'],
    ['in a directory that cannot be created', '/proc/quiesce/control.sock'],
  ])('refuses a path that is %s', async (_name, path) => {
    await expect(claimSocket(path)).rejects.toMatchObject({ code: 'SOCKET_UNUSABLE' });
  });
});

describe('listenOnSocket', () => {
  it('lets only its own Unix user connect', async () => {
    const path = join(dir, 's');
    const app = newApp();
    await listenOnSocket(app, path);
    expect((await stat(path)).mode & 0o777).toBe(0o600);
    const script = `require('net').connect(process.argv[1]).on('connect',()=>{console.log('in');process.exit()}).on('error',(e)=>console.log(e.code))`;
    const run = promisify(execFile);
    const options = process.getuid?.() === 0 ? { uid: 65_534, gid: 65_534, cwd: '/' } : {};
    const { stdout } = await run(process.execPath, ['-e', script, path], options);
    expect(stdout.trim()).toBe(process.getuid?.() === 0 ? 'EACCES' : 'in');
    await app.close();
  });

  it('leaves the umask of the process as it was', async () => {
    const before = process.umask();
    const app = newApp();
    await listenOnSocket(app, join(dir, 's'));
    expect(process.umask()).toBe(before);
    await app.close();
  });
});
