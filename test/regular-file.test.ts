import { execFile } from 'node:child_process';
import { mkdir, mkdtemp, rm, symlink, writeFile } from 'node:fs/promises';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { readRegular } from '../src/lib/regular-file.ts';

let dir: string;
beforeEach(async () => {
  dir = await mkdtemp(join(tmpdir(), 'quiesce-regular-'));
});
afterEach(async () => {
  await rm(dir, { recursive: true, force: true });
});

it('reads a file, even through a link', async () => {
  await writeFile(join(dir, 'file'), 'tëxt\n');
  await symlink('file', join(dir, 'link'));
  expect(await readRegular(join(dir, 'link'))).toBe('tëxt\n');
});

it('immediately refuses a FIFO without a writer, a socket, a folder and a device', async () => {
  await promisify(execFile)('mkfifo', [join(dir, 'fifo')]);
  await mkdir(join(dir, 'folder'));
  await symlink('/dev/zero', join(dir, 'device'));
  const server = createServer();
  await new Promise<void>((resolve) => server.listen(join(dir, 'socket'), resolve));
  try {
    for (const name of ['fifo', 'folder', 'device']) {
      await expect(readRegular(join(dir, name)), name).rejects.toMatchObject({ code: 'EFTYPE' });
    }
    await expect(readRegular(join(dir, 'socket'))).rejects.toMatchObject({ code: 'ENXIO' });
  } finally {
    server.close();
  }
});

it('rejects with the error of the system where the file is missing', async () => {
  await expect(readRegular(join(dir, 'none'))).rejects.toMatchObject({ code: 'ENOENT' });
});
