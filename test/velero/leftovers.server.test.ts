import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { isMounted } from './sandbox/leftovers.ts';

describe.skipIf(process.getuid?.() !== 0)('a mount point', () => {
  it('is in use while another cluster has something mounted there', async () => {
    const path = await mkdtemp(join(tmpdir(), 'quiesce-mount-'));
    expect(await isMounted(path)).toBe(false);
    const script = `mount -t tmpfs tmpfs "$0" && echo mounted && exec sleep 60`;
    const other = spawn('unshare', ['--mount', 'sh', '-c', script, path], {
      stdio: ['ignore', 'pipe', 'inherit'],
    });
    try {
      await once(other.stdout, 'data');
      expect(await isMounted(path)).toBe(true);
    } finally {
      const ended = once(other, 'exit');
      other.kill('SIGKILL');
      await ended;
    }
    expect(await isMounted(path)).toBe(false);
    await rm(path, { recursive: true });
  });
});
