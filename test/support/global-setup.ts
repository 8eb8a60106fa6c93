import { spawnSync } from 'node:child_process';
import { existsSync, rmSync, writeFileSync } from 'node:fs';
import { delimiter, join } from 'node:path';
import { sweepMounts } from '../../src/demo/btrfs.ts';
import { sweepBlockVolumes } from './block-volume.ts';

/** What the tests run beside PostgreSQL itself, by Debian's package. */
const NEEDED = {
  pgbouncer: 'pgbouncer',
  'mkfs.btrfs': 'btrfs-progs',
  'mkfs.ext4': 'e2fsprogs',
} as const;
/** Starts nothing of what is installed: the services would hold the standard ports. */
const POLICY = '/usr/sbin/policy-rc.d';

/**
 * Brings the programs the machine lacks from Debian's packages, where this is root and there is
 * apt-get. Otherwise it says the line to run and which stand-in is used: nothing is skipped.
 */
export default async function setup(): Promise<void> {
  await sweepBlockVolumes();
  await sweepMounts();
  const missing = Object.entries(NEEDED).filter(([program]) => !onPath(program));
  if (missing.length === 0) return;
  const packages = missing.map(([, name]) => name);
  const line = `apt-get update && apt-get install -y ${packages.join(' ')}`;
  if (process.getuid?.() !== 0 || !onPath('apt-get')) {
    process.stderr.write(
      `Stand-ins are used for ${packages.join(' and ')}. For the real parts run as root: ${line}\n`,
    );
    return;
  }
  process.stderr.write(`Installing what the tests need: ${packages.join(', ')}\n`);
  const held = existsSync(POLICY);
  if (!held) writeFileSync(POLICY, '#!/bin/sh\nexit 101\n', { mode: 0o755 });
  try {
    run('apt-get', 'update', '-qq');
    run('apt-get', 'install', '-y', '-qq', ...packages);
  } finally {
    if (!held) rmSync(POLICY, { force: true });
  }
}

function onPath(program: string): boolean {
  const folders = [...(process.env['PATH'] ?? '').split(delimiter), '/usr/sbin', '/sbin'];
  return folders.some((folder) => existsSync(join(folder, program)));
}

function run(command: string, ...args: string[]): void {
  const env = { ...process.env, DEBIAN_FRONTEND: 'noninteractive' };
  const { status, stderr } = spawnSync(command, args, { env, encoding: 'utf8' });
  if (status !== 0) process.stderr.write(`${command} ${args.join(' ')} failed: ${stderr}\n`);
}
