import { rm } from 'node:fs/promises';
import { tool } from '../../src/testbed/os.ts';
import { runCli } from '../../src/testbed/processes.ts';
import type { Volume } from '../../src/testbed/volume/volume.ts';

/** Runs `prepare-restore` as a user does. @returns why it refused; `undefined`: it succeeded */
export async function prepare(
  volume: string,
  ...more: readonly string[]
): Promise<string | undefined> {
  const prepared = await runCli(['prepare-restore', '--data', volume, ...more], {});
  return prepared.code === 0 ? undefined : `${prepared.code} ${prepared.stderr.trim()}`;
}

/** Removes an atomic copy of the volume. */
export async function dropSnapshot({ kind }: Volume, path: string): Promise<void> {
  if (kind === 'btrfs') await tool('btrfs', 'subvolume', 'delete', path);
  else await rm(path, { recursive: true, force: true });
}
