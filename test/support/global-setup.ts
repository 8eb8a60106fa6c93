import { sweepMounts } from '../../src/testbed/volume/btrfs.ts';
import { sweepBlockVolumes } from './block-volume.ts';
import { install, onPath, requireInstalled } from './packages.ts';

/** What the tests run beside the databases themselves, by Debian's package. */
const NEEDED = {
  pgbouncer: 'pgbouncer',
  'mkfs.btrfs': 'btrfs-progs',
  'mkfs.ext4': 'e2fsprogs',
} as const;
/** Servers and tools without which tests fail: there is no stand-in for them. */
const SERVERS = {
  'redis-server': 'redis-server',
  'valkey-server': 'valkey-server',
} as const;

/**
 * Brings the programs the machine lacks from Debian's packages, where this is root and there is
 * apt-get. Otherwise it says the line to run and which stand-in is used: nothing is skipped.
 */
export default async function setup(): Promise<void> {
  await sweepBlockVolumes();
  await sweepMounts();
  requireInstalled(SERVERS);
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
  install(packages);
}
