import { sweepMounts } from '../../src/testbed/volume/btrfs.ts';
import { sweepBlockVolumes } from './block-volume.ts';
import { install, onPath, requireInstalled } from './packages.ts';

/** Programs that the tests run in addition to the databases, by Debian package. */
const NEEDED = {
  pgbouncer: 'pgbouncer',
  'mkfs.btrfs': 'btrfs-progs',
  'mkfs.ext4': 'e2fsprogs',
} as const;
/** Servers and tools without which tests fail: they have no stand-in. */
const SERVERS = {
  'redis-server': 'redis-server',
  'valkey-server': 'valkey-server',
} as const;

/**
 * Installs missing programs from Debian packages if it runs as root and apt-get exists. Otherwise it
 * prints the line to run and which stand-in is used. Nothing is skipped.
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
