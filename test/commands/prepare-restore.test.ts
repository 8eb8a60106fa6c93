import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { run } from '../../src/commands/prepare-restore.ts';

describe('quiesce prepare-restore --scan', () => {
  let dir: string;
  let printed: string;

  beforeEach(async () => {
    dir = await mkdtemp(join(tmpdir(), 'q-scan-'));
    printed = '';
    const keep = (text: unknown, done: unknown): boolean => {
      printed += String(text);
      if (typeof done === 'function') done();
      return true;
    };
    vi.spyOn(process.stderr, 'write').mockImplementation(keep);
    vi.spyOn(process.stdout, 'write').mockImplementation(keep);
  });
  afterEach(async () => {
    vi.restoreAllMocks();
    vi.unstubAllEnvs();
    await rm(dir, { recursive: true, force: true });
  });

  it.each(['30s', 'full', '1h'])('takes a duration or full: %s', async (scan) => {
    expect(await run(['--data', dir, '--scan', scan])).toBe(0);
    vi.stubEnv('QUIESCE_RESTORE_SCAN', scan);
    expect(await run(['--data', dir])).toBe(0);
  });

  it.each(['0', '0s', '60', 'Full', '-1s', '25h'])('refuses %s by name', async (scan) => {
    expect(await run(['--data', dir, '--scan', scan])).toBe(2);
    expect(printed).toMatch(/--scan must .*, or full/);
    printed = '';
    vi.stubEnv('QUIESCE_RESTORE_SCAN', scan);
    expect(await run(['--data', dir])).toBe(2);
    expect(printed).toMatch(/QUIESCE_RESTORE_SCAN must .*, or full/);
  });

  it('counts an empty variable as unset, and the flag before the variable', async () => {
    vi.stubEnv('QUIESCE_RESTORE_SCAN', '');
    expect(await run(['--data', dir])).toBe(0);
    vi.stubEnv('QUIESCE_RESTORE_SCAN', 'soon');
    expect(await run(['--data', dir, '--scan', 'full'])).toBe(0);
  });
});
